import assert from 'node:assert/strict'
import { type Activations, type Layout, pvq, QuantizedLinear, quantizeLinear } from '../../dist/index.js'
import { cheapestLayout, type LayoutCost } from '../../dist/linear/layout-choice.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

const forms = ['compact', 'split', 'expanded'] as const

describe('layout', () => {
  const [outFeatures, inFeatures, tokens] = [96, 320, 7]
  const seed = 71
  const random = new RandomSource(seed)
  const weight = randomNormal(random, outFeatures * inFeatures)
  const bias = randomNormal(random, outFeatures)
  const x = randomNormal(random, tokens * inFeatures)
  const shape = { outFeatures, inFeatures }

  const load = (layer: QuantizedLinear, layout: Layout, activations: Activations) =>
    QuantizedLinear.fromTensors(layer.metadata, layer.tensors(), bias, activations, { layout })

  for (const options of [
    { bits: 3 },
    { bits: 3.3, lowRank: { method: 'lqer', rank: 8 } },
    { bits: 2.5, lattice: 'integer' },
    { bits: 3, lattice: 'barnes-wall' },
    { bits: 6 },
  ] as const) {
    it(`changes no product with int8 inputs, and no weight: ${JSON.stringify(options)} (seed ${seed})`, async () => {
      const layer = await quantizeLinear(weight, shape, options)
      const layers = await Promise.all(forms.map(form => load(layer, form, 'int8')))
      for (const count of [1, 2, tokens]) {
        const inputs = x.subarray(0, count * inFeatures)
        const products = layers.map(each => each.forward(inputs, count))
        for (const product of products) assert.deepEqual(product, products[0])
        // Many tokens give what each of them gives alone.
        assert.deepEqual(products[0].subarray(0, outFeatures), layers[0].forward(x.subarray(0, inFeatures)))
      }
      for (const each of layers) assert.deepEqual(each.dequantize(), layer.dequantize())
    })
  }

  it('takes floats too', async () => {
    const layer = await quantizeLinear(weight, shape, { bits: 3 })
    const layers = await Promise.all(forms.map(form => load(layer, form, 'float')))
    for (const count of [1, tokens]) {
      const [expected, ...others] = layers.map(each => each.forward(x.subarray(0, count * inFeatures), count))
      for (const actual of others) {
        for (let i = 0; i < expected.length; i++) assert.ok(Math.abs(actual[i] - expected[i]) < 1e-4, `${i}`)
      }
    }
  })

  it('shows in the bits that the weights have in memory', async () => {
    const wide = { outFeatures: 256, inFeatures: 1024 }
    const layer = await quantizeLinear(randomNormal(random, 256 * 1024), wide, {
      quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }),
    })
    const [compact, split, expanded] = await Promise.all(
      forms.map(form =>
        QuantizedLinear.fromTensors(layer.metadata, layer.tensors(), undefined, 'int8', { layout: form }),
      ),
    )
    assert.equal(compact.layout, 'compact')
    assert.ok(compact.bitsInMemory > 3 && compact.bitsInMemory < 3.2, `${compact.bitsInMemory}`)
    assert.equal(split.layout, 'split')
    assert.ok(split.bitsInMemory > 3.3 && split.bitsInMemory < 3.6, `${split.bitsInMemory}`)
    assert.equal(expanded.layout, 'expanded')
    assert.ok(expanded.bitsInMemory > 4.25 && expanded.bitsInMemory < 5, `${expanded.bitsInMemory}`)
    assert.equal(expanded.memoryBytes, (expanded.bitsInMemory * 256 * 1024) / 8)
  })

  it('stays below six bits where many blocks have a pulse that four bits do not hold', async () => {
    const layer = await quantizeLinear(
      randomNormal(random, 512 * 1024),
      { outFeatures: 512, inFeatures: 1024 },
      { quantizer: pvq({ dimension: 16, pulses: 34, levels: 12 }) },
    )
    const options = { layout: 'expanded' } as const
    const { bitsInMemory } = await QuantizedLinear.fromTensors(
      layer.metadata,
      layer.tensors(),
      undefined,
      'int8',
      options,
    )
    assert.ok(bitsInMemory > 4.25 && bitsInMemory < 6, `${bitsInMemory}`)
  })

  it('auto is compact for floats and measured for int8', async () => {
    const layer = await quantizeLinear(weight, shape, { bits: 3 })
    assert.equal(layer.layout, 'compact')
    const [first, second] = [await load(layer, 'auto', 'int8'), await load(layer, 'auto', 'int8')]
    assert.ok(forms.some(form => form === first.layout))
    assert.equal(second.layout, first.layout)
    assert.deepEqual(first.forward(x, tokens), (await load(layer, 'compact', 'int8')).forward(x, tokens))
    assert.equal((await quantizeLinear(weight, shape, { bits: 3, layout: 'expanded' })).layout, 'expanded')
  })

  // Figures of a 4096 x 4096 layer at 3 bits: bytes in memory, and what two cores of a Cascade Lake need.
  const expanded = { layout: 'expanded', bytes: 9.1e6, tokenSeconds: 4.8e-4, promptTokenSeconds: 1.24e-4 } as const
  const split = { layout: 'split', bytes: 7.2e6, tokenSeconds: 7.7e-4, promptTokenSeconds: 2.1e-4 } as const
  const onCores = <T extends LayoutCost>(cost: T, cores: number): T => ({
    ...cost,
    tokenSeconds: (cost.tokenSeconds * 2) / cores,
    promptTokenSeconds: (cost.promptTokenSeconds * 2) / cores,
  })

  it('auto is the least work on few cores and the fewest bytes where many share the memory', () => {
    assert.equal(cheapestLayout([expanded, split], 19e9), 'expanded')
    assert.equal(cheapestLayout([expanded, split], Infinity), 'expanded')
    const many = [onCores(expanded, 64), onCores(split, 64)]
    assert.equal(cheapestLayout(many, 100e9), 'split')
    assert.equal(cheapestLayout(many, Infinity), 'expanded')
  })

  it('auto leaves the usual layout for no small gain', () => {
    const hardlyFaster = { ...expanded, layout: 'split', tokenSeconds: expanded.tokenSeconds * 0.98 } as const
    assert.equal(cheapestLayout([expanded, hardlyFaster], Infinity), 'expanded')
    const faster = { ...expanded, layout: 'split', tokenSeconds: expanded.tokenSeconds * 0.8 } as const
    assert.equal(cheapestLayout([expanded, faster], Infinity), 'split')
  })

  it('refuses what is no layout', async () => {
    const layer = await quantizeLinear(weight, shape, { bits: 3 })
    await expectError(() => load(layer, 'dense' as Layout, 'int8'), 'INVALID_ARGUMENT', /layout must be .* got "dense"/)
    await expectError(
      () => quantizeLinear(weight, shape, { bits: 3, layout: 4 as never }),
      'INVALID_ARGUMENT',
      /layout must be/,
    )
  })
})
