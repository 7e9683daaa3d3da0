import assert from 'node:assert/strict'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { BlockGradient, type GradientHooks } from '../../dist/model/block-gradient.js'
import { HeadGradient } from '../../dist/model/head-gradient.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { randomIds, randomNormal } from './random-normal.js'
import { referenceLogits, softmax } from './reference-llama.js'
import { divergenceFrom, type Loss, labelLoss, referenceSlope } from './reference-slope.js'
import { randomTensors, type Tensors, type TinyConfig, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'
import { quantizableConfig, withQuantizedTiny } from './tiny-quantized.js'
import { WindowTrace } from './window-trace.js'

const TOKENS = 13

/**
 * From the gradient above the last block down to that at the embedding: inner products of the gradient at each tensor with
 * that tensor's direction.
 */
function slopesOf(
  trace: WindowTrace,
  start: (gradient: Float32Array, hooks: GradientHooks) => void,
  directions: Tensors,
): Map<string, number> {
  const { ends, blocks, hidden, ids } = trace
  const epsilon = ends.config.rmsNormEpsilon
  const slopes = new Map<string, number>()
  let prefix = ''
  const add = (name: string, value: number) => slopes.set(name, (slopes.get(name) ?? 0) + value)
  const hooks: GradientHooks = {
    projection(name, x, gradient, tokens) {
      const { shape, values } = directions.get(`${prefix}${name}.weight`)!
      const bias = directions.get(`${prefix}${name}.bias`)
      const [out, inputs] = shape
      assert.equal(x.length, tokens * inputs)
      assert.equal(gradient.length, tokens * out)
      for (let t = 0; t < tokens; t++) {
        for (let row = 0; row < out; row++) {
          let sum = 0
          for (let i = 0; i < inputs; i++) sum += values[row * inputs + i] * x[t * inputs + i]
          add(`${prefix}${name}.weight`, gradient[t * out + row] * sum)
          if (bias) add(`${prefix}${name}.bias`, gradient[t * out + row] * bias.values[row])
        }
      }
    },
    norm(name, x, gradient, rows) {
      const { values } = directions.get(`${prefix}${name}.weight`)!
      const width = x.length / rows
      for (let row = 0; row < rows; row++) {
        const part = x.subarray(row * width, (row + 1) * width)
        const scale = 1 / Math.sqrt(part.reduce((sum, value) => sum + value * value, 0) / width + epsilon)
        for (let i = 0; i < width; i++) {
          add(`${prefix}${name}.weight`, gradient[row * width + i] * part[i] * scale * values[i])
        }
      }
    },
  }
  const gradient = new Float32Array(trace.top.length).fill(Number.NaN)
  start(gradient, hooks)
  const backward = new BlockGradient(ends.config)
  for (const [layer, block] of [...blocks.entries()].reverse()) {
    prefix = `model.layers.${layer}.`
    backward.backward(block, hidden[layer], gradient, ids.length, hooks)
  }
  const { hiddenSize } = ends.config
  const embedding = directions.get('model.embed_tokens.weight')!.values
  for (const [t, id] of ids.entries()) {
    for (let i = 0; i < hiddenSize; i++) {
      add('model.embed_tokens.weight', gradient[t * hiddenSize + i] * embedding[id * hiddenSize + i])
    }
  }
  return slopes
}

/** Compares slopes along random directions of every tensor but the head. */
function checkSlopes(
  config: TinyConfig,
  tensors: Tensors,
  trace: WindowTrace,
  seed: number,
  start: (gradient: Float32Array, hooks: GradientHooks) => void,
  loss: () => Loss,
): void {
  const random = new RandomSource(seed + 1000)
  const directions: Tensors = new Map(
    [...tensors].map(([name, { shape, values }]) => [
      name,
      { shape, values: randomNormal(random, values.length, 1 / Math.sqrt(values.length)) },
    ]),
  )
  const slopes = slopesOf(trace, start, directions)
  const expected = [...tensors.keys()].filter(name => name !== 'lm_head.weight')
  assert.deepEqual([...slopes.keys()].sort(), expected.sort())
  for (const [name, slope] of slopes) {
    const reference = referenceSlope(config, tensors, directions, name, trace.ids, loss())
    const error = Math.abs(slope - reference) / (Math.abs(reference) + 0.05)
    assert.ok(error < 2e-3, `${name}: ${slope}, by finite differences ${reference}, seed ${seed}`)
  }
}

const variants: Record<string, Partial<TinyConfig>> = {
  'grouped-query attention and a head of its own': {},
  'a head that is the embedding': { tie_word_embeddings: true },
  'as many key heads as query heads': { num_key_value_heads: 4 },
  'every bias': { attention_bias: true, mlp_bias: true },
  'YaRN rotary scaling': {
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 24, beta_fast: 4, beta_slow: 0.5 },
  },
  'a sliding window': { model_type: 'mistral', sliding_window: 5 },
  'biases on query, key and value': { model_type: 'qwen2' },
  'normed query and key heads': { model_type: 'qwen3', head_dim: 10 },
}

describe('the gradient of the model graph', () => {
  let seed = 300
  for (const [what, changes] of Object.entries(variants)) {
    const config = { ...tinyConfig, num_hidden_layers: 2, ...changes }
    const ownSeed = seed++
    it(`equals finite differences of the double-precision reference at every layer: ${what}`, async () => {
      const tensors = randomTensors(config, ownSeed)
      const ids = randomIds(new RandomSource(ownSeed), TOKENS, config.vocab_size)
      await withCheckpoint(config, tensors, async folder => {
        const source = await openModel(folder)
        const trace = await WindowTrace.run(source, ids)
        await source.close()
        const head = new HeadGradient(trace.ends)
        let labels: Int32Array
        checkSlopes(
          config,
          tensors,
          trace,
          ownSeed,
          (gradient, hooks) => {
            labels = head.sampledLabels(trace.top, TOKENS, new RandomSource(ownSeed), gradient, hooks)
          },
          () => labelLoss(labels),
        )
      })
    })
  }

  it('goes through rotated and corrected quantized layers in their stored form, for the divergence from the model they came from', async () => {
    const config = quantizableConfig
    const tensors = randomTensors(config, 320)
    const ids = randomIds(new RandomSource(320), TOKENS, config.vocab_size)
    await withQuantizedTiny(config, tensors, { bits: 6, rank: 2 }, async ({ plain, quantized, dequantized }) => {
      const original = await WindowTrace.run(plain, ids)
      const trace = await WindowTrace.run(quantized, ids)
      const loss = divergenceFrom(referenceLogits(config, tensors, ids).map(softmax))
      const head = new HeadGradient(trace.ends)
      let divergence: Float64Array
      checkSlopes(
        config,
        dequantized,
        trace,
        320,
        (gradient, hooks) => {
          const reference = { ends: original.ends, hidden: original.top }
          divergence = head.distillation(trace.top, TOKENS, reference, gradient, hooks)
        },
        () => loss,
      )
      const expected = loss(referenceLogits(config, dequantized, ids))
      const found = divergence!.reduce((sum, value) => sum + value, 0)
      assert.ok(Math.abs(found - expected) < 1e-3 * expected, `${found}, expected ${expected}`)
    })
  })

  it('draws the same labels from the same seed, and others from another', async () => {
    const ids = randomIds(new RandomSource(330), TOKENS, tinyConfig.vocab_size)
    await withCheckpoint(tinyConfig, randomTensors(tinyConfig, 330), async folder => {
      const source = await openModel(folder)
      const trace = await WindowTrace.run(source, ids)
      await source.close()
      const head = new HeadGradient(trace.ends)
      const gradient = new Float32Array(trace.top.length)
      const draw = (seed: number) => [...head.sampledLabels(trace.top, TOKENS, new RandomSource(seed), gradient)]
      assert.deepEqual(draw(1), draw(1))
      assert.notDeepEqual(draw(1), draw(2))
    })
  })
})
