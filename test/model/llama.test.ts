import assert from 'node:assert/strict'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { PyramidionError } from '../../dist/errors.js'
import type { KeyValueFormat } from '../../dist/index.js'
import { Llama } from '../../dist/model/llama.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { runInSteps } from './block-steps.js'
import { randomIds } from './random-normal.js'
import { referenceLogits } from './reference-llama.js'
import { randomTensors, type Tensors, type TinyConfig, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'

async function loadTiny(config: object, tensors: Tensors, kvCache: KeyValueFormat = 'f32'): Promise<Llama> {
  return withCheckpoint(config, tensors, async folder => {
    const source = await openModel(folder)
    try {
      return await Llama.load(source, { kvCache })
    } finally {
      await source.close()
    }
  })
}

/** Logits of all positions, the tokens handed over in runs of the given lengths. */
function graphLogits(model: Llama, ids: Int32Array, lengths: number[] = [ids.length]): Float32Array[] {
  const cache = model.newCache()
  const rows: Float32Array[] = []
  let start = 0
  for (const length of lengths) {
    for (const { tokens, hidden } of model.run(ids.subarray(start, start + length), cache)) {
      const logits = model.head(hidden, tokens)
      const { vocabularySize } = model.config
      for (let t = 0; t < tokens; t++) rows.push(logits.slice(t * vocabularySize, (t + 1) * vocabularySize))
    }
    start += length
  }
  return rows
}

function largestDifference(a: ArrayLike<number>[], b: ArrayLike<number>[]): number {
  assert.equal(a.length, b.length)
  let worst = 0
  for (let t = 0; t < a.length; t++) {
    assert.equal(a[t].length, b[t].length)
    for (let i = 0; i < a[t].length; i++) worst = Math.max(worst, Math.abs(a[t][i] - b[t][i]))
  }
  return worst
}

const variants: Record<string, Partial<TinyConfig>> = {
  'a Llama model with grouped-query attention and a head of its own': {},
  'a model whose head is its embedding': { tie_word_embeddings: true },
  'a model with as many key heads as query heads and one layer': { num_key_value_heads: 4, num_hidden_layers: 1 },
  'a model with one key head for all, and three heads': { num_attention_heads: 3, num_key_value_heads: 1 },
  'a Llama model with every bias': { attention_bias: true, mlp_bias: true },
  'linear rotary scaling': { rope_scaling: { rope_type: 'linear', factor: 4 } },
  'Llama 3 rotary scaling': {
    head_dim: 16,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 24,
    },
  },
  'YaRN rotary scaling': {
    head_dim: 16,
    rope_scaling: {
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 24,
      beta_fast: 4,
      beta_slow: 0.5,
    },
  },
  'a Mistral model with a sliding window': { model_type: 'mistral', sliding_window: 7 },
  'a Qwen 2 model with biases on query, key and value': { model_type: 'qwen2' },
  'a Qwen 2 model with a window from its second layer on': {
    model_type: 'qwen2',
    sliding_window: 5,
    use_sliding_window: true,
    max_window_layers: 1,
  },
  'a Qwen 3 model with normed query and key heads': { model_type: 'qwen3', head_dim: 10, tie_word_embeddings: true },
}

describe('the model graph', () => {
  let seed = 100
  for (const [what, changes] of Object.entries(variants)) {
    const config = { ...tinyConfig, ...changes }
    const ownSeed = seed++

    it(`computes the logits of the double-precision reference: ${what}`, async () => {
      const tensors = randomTensors(config, ownSeed)
      const ids = randomIds(new RandomSource(ownSeed), 31, config.vocab_size)
      const difference = largestDifference(
        graphLogits(await loadTiny(config, tensors), ids),
        referenceLogits(config, tensors, ids),
      )
      assert.ok(difference < 1e-3, `largest difference ${difference}, seed ${ownSeed}`)
    })

    it(`gives the same logits token by token as in one run: ${what}`, async () => {
      const model = await loadTiny(config, randomTensors(config, ownSeed))
      const ids = randomIds(new RandomSource(ownSeed), 23, config.vocab_size)
      const whole = graphLogits(model, ids)
      const single = graphLogits(model, ids, Array(23).fill(1))
      const mixed = graphLogits(model, ids, [5, 1, 9, 1, 7])
      const difference = Math.max(largestDifference(whole, single), largestDifference(whole, mixed))
      assert.ok(difference < 1e-4, `largest difference ${difference}, seed ${ownSeed}`)
    })
  }

  it('goes beyond one pass and the first buffers of the cache with the same result as the reference', async () => {
    const config = { ...tinyConfig, num_hidden_layers: 1, max_position_embeddings: 700 }
    const tensors = randomTensors(config, 7)
    const ids = randomIds(new RandomSource(7), 530, config.vocab_size)
    const difference = largestDifference(
      graphLogits(await loadTiny(config, tensors), ids),
      referenceLogits(config, tensors, ids),
    )
    assert.ok(difference < 1e-3, `largest difference ${difference}, seed 7`)
  })

  it('has the inputs of linear layers of the reference, block after block', async () => {
    const tensors = randomTensors(tinyConfig, 8)
    const ids = Int32Array.of(1, 2, 3)
    const expected: { input: string; x: number[][] }[] = []
    referenceLogits(tinyConfig, tensors, ids, (input, x) => expected.push({ input, x }))
    const seen: { input: string; x: Float32Array[] }[] = []
    await withCheckpoint(tinyConfig, tensors, async folder => {
      const source = await openModel(folder)
      await runInSteps(source, ids, (_layer, input, x) => {
        const width = x.length / ids.length
        seen.push({ input, x: Array.from(ids, (_, t) => x.slice(t * width, (t + 1) * width)) })
      })
      await source.close()
    })
    const block = ['attention', 'attentionOutput', 'mlp', 'mlpDown']
    assert.deepEqual(
      seen.map(({ input }) => input),
      [...block, ...block, ...block],
    )
    for (const [i, { x }] of seen.entries()) {
      const difference = largestDifference(x, expected[i].x)
      assert.ok(difference < 1e-4, `${expected[i].input} ${i}: largest difference ${difference}, seed 8`)
    }
  })

  it('refuses ids outside the vocabulary, no ids, and more than its context holds', async () => {
    const model = await loadTiny(tinyConfig, randomTensors(tinyConfig, 9))
    const run = (ids: ArrayLike<number>) => () => model.next(Int32Array.from(ids), model.newCache())
    assert.throws(run([0, 37]), { code: 'INVALID_ARGUMENT', message: /from 0 to 36, got 37 at position 1/ })
    assert.throws(run([-1]), { code: 'INVALID_ARGUMENT' })
    assert.throws(run([]), { code: 'EMPTY' })
    assert.throws(run(Array(97).fill(0)), { code: 'INVALID_ARGUMENT', message: /96 tokens, got 97/ })
    assert.equal(run(Array(96).fill(0))().length, 37)
  })

  describe('refuses to load', () => {
    const load = (change: (tensors: Tensors) => void, config: object = tinyConfig) => {
      const tensors = randomTensors(tinyConfig, 10)
      change(tensors)
      return loadTiny(config, tensors)
    }

    it('a checkpoint without one of the tensors, naming it', async () => {
      for (const name of randomTensors(tinyConfig, 10).keys()) {
        const error = await load(tensors => tensors.delete(name)).then(
          () => assert.fail(`loaded without ${name}`),
          error => error,
        )
        assert.ok(error instanceof PyramidionError && error.code === 'MISSING_TENSOR', String(error))
        assert.ok(error.message.includes(name))
      }
    })

    it('a tensor of the wrong shape, naming both shapes', async () => {
      const name = 'model.layers.1.mlp.down_proj.weight'
      await assert.rejects(
        load(tensors => tensors.set(name, { shape: [27, 20], values: new Float32Array(540) })),
        { code: 'INVALID_SHAPE', message: /down_proj.weight must have shape \[20,27\].*it has \[27,20\]/ },
      )
    })

    it('a norm that holds NaN or an infinity', async () => {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
        await assert.rejects(
          load(tensors => {
            tensors.get('model.layers.2.input_layernorm.weight')!.values[3] = value
          }),
          { code: 'NOT_FINITE', message: /layers.2.input_layernorm.weight holds (NaN|Infinity) at 3/ },
        )
      }
    })
  })

  it('throws NOT_FINITE instead of returning logits that are not numbers', async () => {
    const tensors = randomTensors(tinyConfig, 11)
    tensors.get('model.layers.0.mlp.up_proj.weight')!.values[0] = Number.NaN
    const model = await loadTiny(tinyConfig, tensors)
    assert.throws(() => model.next(Int32Array.of(1), model.newCache()), { code: 'NOT_FINITE' })
  })
})
