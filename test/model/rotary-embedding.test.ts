import assert from 'node:assert/strict'
import { RotaryEmbedding, rotaryFrequencies } from '../../dist/model/rotary-embedding.js'
import { referenceFrequencies } from './reference-llama.js'
import { tinyConfig } from './tiny-checkpoint.js'

describe('rotary frequencies', () => {
  it('of Llama 3.1 and YaRN are those of transformers at real sizes', () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }
    const yarn = { factor: 4, original_max_position_embeddings: 32768, beta_fast: 32, beta_slow: 1 }
    const cases = [
      {
        scaling: { rope_type: 'llama3', ...llama3 },
        parsed: {
          kind: 'llama3' as const,
          factor: 8,
          lowFrequencyFactor: 1,
          highFrequencyFactor: 4,
          originalMaximumPositions: 8192,
        },
      },
      {
        scaling: { rope_type: 'yarn', ...yarn },
        parsed: {
          kind: 'yarn' as const,
          factor: 4,
          originalMaximumPositions: 32768,
          betaFast: 32,
          betaSlow: 1,
          attentionFactor: 1.1386,
          truncate: true,
        },
      },
    ]
    for (const { scaling, parsed } of cases) {
      const expected = referenceFrequencies({ ...tinyConfig, head_dim: 128, rope_theta: 5e5, rope_scaling: scaling })
      const actual = rotaryFrequencies({ headDimension: 128, rope: { theta: 5e5, scaling: parsed } })
      for (const [i, frequency] of expected.entries()) {
        assert.ok(Math.abs(actual[i] / frequency - 1) < 1e-12, `${parsed.kind}, dimension ${i}`)
      }
      // The scaling does something, but not to every dimension.
      const plain = rotaryFrequencies({ headDimension: 128, rope: { theta: 5e5 } })
      assert.equal(actual[0], plain[0])
      assert.ok(Math.abs((actual[63] * parsed.factor) / plain[63] - 1) < 1e-12)
    }
  })

  it('are divided by the factors a GGUF file stores', () => {
    const scaling = { kind: 'factors' as const, factors: [1, 2, 8] }
    const plain = rotaryFrequencies({ headDimension: 6, rope: { theta: 100 } })
    const actual = rotaryFrequencies({ headDimension: 6, rope: { theta: 100, scaling } })
    assert.deepEqual([...actual], [plain[0], plain[1] / 2, plain[2] / 8])
  })

  it('are tabulated the same whether the table grew or was made at once', () => {
    const config = { headDimension: 10, rope: { theta: 10000 } }
    const grown = new RotaryEmbedding(config)
    for (const position of [0, 1, 5, 40]) grown.tables(position, 3)
    assert.deepEqual(grown.tables(11, 20), new RotaryEmbedding(config).tables(11, 20))
  })
})
