import assert from 'node:assert/strict'
import {
  type Activations,
  integer,
  mxint,
  pvq,
  QuantizedLinear,
  type QuantizeLinearOptions,
  quantizeLinear,
} from '../../dist/index.js'
import { checkActivations, sharedActivationQuantizer, storedActivations } from '../../dist/linear/activations.js'
import { sharedRotation } from '../../dist/linear/rotation.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

/** One scale a token, from the definition. */
function int8(x: Float32Array, width: number): Float32Array {
  return x.map((value, i) => {
    const token = x.subarray(i - (i % width), i - (i % width) + width)
    const scale = token.reduce((most, each) => Math.max(most, Math.abs(each)), 0) / 127
    return scale * Math.round(value / scale)
  })
}

/** What the inputs are rounded to, by the quantizers of weights. */
const references: [Activations, (x: Float32Array, tokens: number, width: number) => Float32Array][] = [
  ['float', x => x],
  ['int8', (x, _, width) => int8(x, width)],
  ['mxint8', (x, tokens, width) => decoded(mxint({ bits: 8 }), x, tokens, width)],
  ['mxint6', (x, tokens, width) => decoded(mxint({ bits: 6 }), x, tokens, width)],
  [{ bits: 5 }, (x, tokens, width) => decoded(pvq({ bits: 5 }), x, tokens, width)],
  [
    { dimension: 8, pulses: 12, levels: 7 },
    (x, tokens, width) => decoded(pvq({ dimension: 8, pulses: 12, levels: 7 }), x, tokens, width),
  ],
]

function decoded(quantizer: ReturnType<typeof pvq | typeof mxint>, x: Float32Array, tokens: number, width: number) {
  return quantizer.decodeRows(quantizer.encodeRows(x, tokens, width))
}

/** Sum of squared differences over the sum of squares. */
function relativeError(expected: Float32Array, actual: Float32Array): number {
  let squares = 0
  let errors = 0
  for (let i = 0; i < expected.length; i++) {
    squares += expected[i] ** 2
    errors += (expected[i] - actual[i]) ** 2
  }
  return errors / squares
}

describe('activations', () => {
  const [outFeatures, inFeatures, tokens] = [40, 96, 9]
  const shape = { outFeatures, inFeatures }
  const seed = 61
  const random = new RandomSource(seed)
  const weight = randomNormal(random, outFeatures * inFeatures)
  const x = randomNormal(random, tokens * inFeatures)

  const layers: Record<string, QuantizeLinearOptions> = {
    'rotated PVQ with a correction': { bits: 7, lowRank: { method: 'lqer', rank: 2 } },
    'integers, not rotated': { quantizer: integer({ bits: 4 }) },
  }
  for (const [what, options] of Object.entries(layers)) {
    for (const [activations, reference] of references) {
      it(`round what the matrix is multiplied with: ${JSON.stringify(activations)}, ${what}`, async () => {
        const exact = await quantizeLinear(weight, shape, options)
        const layer = await quantizeLinear(weight, shape, { ...options, activations })
        assert.deepEqual(layer.activations, activations)
        assert.deepEqual(layer.tensors(), exact.tensors())
        // The same inputs, rounded in the space the codes live in and turned back.
        const rotation = exact.metadata.rotation && sharedRotation(inFeatures, exact.metadata.rotation.seed)
        const turned = x.slice()
        rotation?.apply(turned, tokens, false)
        const rounded = reference(turned, tokens, inFeatures).slice()
        rotation?.apply(rounded, tokens, true)
        const expected = exact.forward(rounded, tokens)
        for (const y of [layer.forward(x, tokens), await layer.forwardAsync(x, tokens)]) {
          const error = relativeError(expected, y)
          // A value on the edge between two multiples may fall to either side.
          assert.ok(error < 1e-5, `error ${error}, seed ${seed}`)
        }
        if (activations !== 'float') assert.ok(relativeError(exact.forward(x, tokens), layer.forward(x, tokens)) > 1e-5)
      })
    }
  }

  it('cost the less the more bits they have', async () => {
    const exact = (await quantizeLinear(weight, shape, { bits: 6 })).forward(x, tokens)
    const errors: number[] = []
    for (const activations of ['mxint8', 'mxint6', 'mxint4', 'mxint3', 'mxint2'] as const) {
      errors.push(
        relativeError(exact, (await quantizeLinear(weight, shape, { bits: 6, activations })).forward(x, tokens)),
      )
    }
    for (let i = 1; i < errors.length; i++) assert.ok(errors[i] > 2 * errors[i - 1], `${errors}, seed ${seed}`)
  })

  it('are given anew to a layer made of stored tensors', async () => {
    const layer = await quantizeLinear(weight, shape, { bits: 4, activations: 'int8' })
    const plain = await QuantizedLinear.fromTensors(layer.metadata, layer.tensors())
    const same = await QuantizedLinear.fromTensors(layer.metadata, layer.tensors(), undefined, 'int8')
    assert.equal(plain.activations, 'float')
    assert.deepEqual(same.forward(x, tokens), layer.forward(x, tokens))
    assert.notDeepEqual(plain.forward(x, tokens), layer.forward(x, tokens))
  })

  it('are shared by the layers that ask for the same', () => {
    assert.equal(sharedActivationQuantizer('float', 32), undefined)
    assert.equal(sharedActivationQuantizer({ bits: 4 }, 32), sharedActivationQuantizer({ bits: 4 }, 32))
    assert.notEqual(sharedActivationQuantizer('int8', 32), sharedActivationQuantizer('int8', 64))
  })

  it('are refused when there is no such format', async () => {
    for (const wrong of ['int4', 'mxint9', 'mxint1', '', 8, null, undefined] as never[]) {
      await expectError(() => checkActivations(wrong), 'INVALID_ARGUMENT', /^activations must be float, int8/)
    }
    await expectError(() => checkActivations({ bits: 9 }), 'RATE_OUT_OF_RANGE', /bits must be between 1 and 8, got 9/)
    await expectError(
      () => checkActivations({ dimension: 1, pulses: 3, levels: 4 }),
      'INVALID_ARGUMENT',
      /dimension must be 2, 4, 8, 16 or 32, got 1/,
    )
    await expectError(
      () => quantizeLinear(weight, shape, { bits: 4, activations: 'int3' as never }),
      'INVALID_ARGUMENT',
      /got "int3"/,
    )
    await expectError(
      () => storedActivations({ activations: 'int3' }, 'folder'),
      'INVALID_FILE',
      /^folder: quantization_config: activations must be/,
    )
    assert.equal(storedActivations({}, 'folder'), 'float')
  })
})
