import assert from 'node:assert/strict'
import { BlockGradient } from '../../dist/model/block-gradient.js'
import { HeadGradient } from '../../dist/model/head-gradient.js'
import type { Projection } from '../../dist/model/projection.js'
import type { ProjectionName } from '../../dist/model/projection-names.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { type Refittable, Refittables } from '../../dist/model/refittable.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomIds } from './random-normal.js'
import { referenceLogits, softmax } from './reference-llama.js'
import { divergenceFrom, referenceSlope } from './reference-slope.js'
import { randomTensors, type Tensors, type TinyConfig } from './tiny-checkpoint.js'
import { matrixOf, quantizableConfig, type TinyQuantized, withQuantizedTiny } from './tiny-quantized.js'
import { WindowTrace } from './window-trace.js'

const TOKENS = 13
const seed = 340

/** A quantized model's trace, its refittable vectors from the bottom up, and their gradients of the divergence. */
async function measured({ plain, quantized }: TinyQuantized, ids: Int32Array) {
  const original = await WindowTrace.run(plain, ids)
  const trace = await WindowTrace.run(quantized, ids)
  const owners = [...trace.blocks.map(Refittables.ofBlock), Refittables.ofHead(trace.ends)]
  const backward = new BlockGradient(quantized.config)
  const run = () => {
    const gradient = new Float32Array(trace.top.length)
    const reference = { ends: original.ends, hidden: original.top }
    new HeadGradient(trace.ends).distillation(trace.top, TOKENS, reference, gradient, owners.at(-1)!.hooks)
    for (const [layer, block] of [...trace.blocks.entries()].reverse()) {
      backward.backward(block, trace.hidden[layer], gradient, TOKENS, owners[layer].hooks)
    }
  }
  run()
  return { trace, owners, all: owners.flatMap(owner => owner.all), run }
}

function projectionOf(trace: WindowTrace, name: string): Projection {
  const [, layer, projection] = /^model\.layers\.(\d+)\.(\w+\.\w+)\.weight/.exec(name)!
  const { query, key, value, output, gate, up, down } = trace.blocks[Number(layer)].parts
  const byName: Record<ProjectionName, Projection> = {
    'self_attn.q_proj': query,
    'self_attn.k_proj': key,
    'self_attn.v_proj': value,
    'self_attn.o_proj': output,
    'mlp.gate_proj': gate,
    'mlp.up_proj': up,
    'mlp.down_proj': down,
  }
  return byName[projection as ProjectionName]
}

/** How the model's tensor moves with value `i`: exactly, as it is linear in it. */
function directionOf(trace: WindowTrace, refittable: Refittable, i: number): { name: string; values: Float64Array } {
  const { name, kind } = refittable
  const values = refittable.values()
  if (kind === 'norm') return { name, values: Float64Array.from(values, (_, k) => (k === i ? 1 : 0)) }
  const { linear, outFeatures, inFeatures } = projectionOf(trace, name)
  const before = matrixOf(linear, [outFeatures, inFeatures])
  const moved = values.slice()
  // A row scale doubles exactly; a level goes halfway to the next one, or beyond the last.
  moved[i] =
    kind === 'rowScale'
      ? 2 * values[i]
      : i + 1 < values.length && values[i + 1] > values[i]
        ? (values[i] + values[i + 1]) / 2
        : 1.5 * values[i]
  refittable.assign(moved)
  const after = matrixOf(linear, [outFeatures, inFeatures])
  refittable.assign(values)
  assert.deepEqual(matrixOf(linear, [outFeatures, inFeatures]), before)
  return {
    name: name.replace(/\.(row_scale|levels)$/, ''),
    values: Float64Array.from(after, (value, k) => (value - before[k]) / (moved[i] - values[i])),
  }
}

describe(`Refittables, seed ${seed}`, () => {
  const variants: Record<string, [TinyConfig, number]> = {
    'two codes a row': [quantizableConfig, 3.3],
    'normed query and key heads': [{ ...quantizableConfig, model_type: 'qwen3', head_dim: 10 }, 3],
  }
  for (const [what, [config, bits]] of Object.entries(variants)) {
    it(`gather the gradients that finite differences of the double-precision reference give: ${what}`, async () => {
      const tensors = randomTensors(config, seed)
      const ids = randomIds(new RandomSource(seed), TOKENS, config.vocab_size)
      await withQuantizedTiny(config, tensors, { bits, rank: 0 }, async models => {
        const { trace, all, owners, run } = await measured(models, ids)
        const loss = divergenceFrom(referenceLogits(config, tensors, ids).map(softmax))
        const random = new RandomSource(seed)
        const perBlock = 14 + (config.model_type === 'qwen3' ? 4 : 2)
        assert.equal(all.length, 2 * perBlock + 1)
        for (const refittable of all) {
          const i = Math.floor(random.next() * refittable.gradient.length)
          const { name, values } = directionOf(trace, refittable, i)
          const directions: Tensors = new Map([[name, { shape: models.dequantized.get(name)!.shape, values }]])
          const expected = referenceSlope(config, models.dequantized, directions, name, ids, loss)
          const found = refittable.gradient[i]
          const error = Math.abs(found - expected) / (Math.abs(expected) + 0.02)
          assert.ok(error < 5e-3, `${refittable.name} ${i}: ${found}, by finite differences ${expected}`)
        }
        // Gradients add up until they are cleared.
        const once = all.map(({ gradient }) => gradient.slice())
        run()
        for (const [k, { gradient }] of all.entries()) {
          for (const [i, value] of gradient.entries())
            assert.ok(Math.abs(value - 2 * once[k][i]) <= 1e-12 * Math.abs(value))
        }
        for (const owner of owners) owner.clear()
        assert.ok(all.every(({ gradient }) => gradient.every(value => value === 0)))
      })
    })
  }

  it('take values that the layers compute with, row scales rounded to halves, and refuse others', async () => {
    const tensors = randomTensors(quantizableConfig, seed)
    const ids = randomIds(new RandomSource(seed), TOKENS, quantizableConfig.vocab_size)
    await withQuantizedTiny(quantizableConfig, tensors, { bits: 4, rank: 0 }, async models => {
      const { trace, all } = await measured(models, ids)
      const named = (name: string) => all.find(refittable => refittable.name === name)!
      const rowScale = named('model.layers.1.mlp.up_proj.weight.row_scale')
      const { linear, outFeatures, inFeatures } = projectionOf(trace, rowScale.name)
      const before = matrixOf(linear, [outFeatures, inFeatures])
      const scales = rowScale.values()
      rowScale.assign(scales.map(scale => 1.0001 * scale))
      assert.deepEqual(rowScale.values(), scales)
      rowScale.assign(scales.map(scale => 2 * scale))
      assert.deepEqual(
        matrixOf(linear, [outFeatures, inFeatures]),
        before.map(value => 2 * value),
      )
      const levels = named('model.layers.1.mlp.up_proj.weight.levels')
      await expectError(() => levels.assign(levels.values().map(value => -value)), 'INVALID_ARGUMENT', /levels must be/)
      await expectError(() => rowScale.assign(scales.map(() => 1e6)), 'INVALID_ARGUMENT', /rowScale must be finite/)
      await expectError(() => rowScale.assign(scales.subarray(1)), 'INVALID_SHAPE', /rowScale must have/)
      const norm = named('model.layers.0.input_layernorm.weight')
      await expectError(() => norm.assign(new Float32Array(3)), 'INVALID_SHAPE', /input_layernorm.weight must have/)
      await expectError(() => norm.assign(norm.values().fill(Number.NaN)), 'NOT_FINITE', /input_layernorm/)
      norm.assign(norm.values().fill(3))
      assert.ok(trace.blocks[0].parts.attentionNorm.every(value => value === 3))
    })
  })
})
