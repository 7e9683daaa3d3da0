// A tiny quantized model with every stored format, the same bytes each time: what the writer's tests write.
import type { PlainTensor } from '../../dist/checkpoint/checkpoint-writer.js'
import { codeBits } from '../../dist/checkpoint/quantized-layout.js'
import type { StoredWeights } from '../../dist/checkpoint/read-weights.js'
import type { LowRankFactors, PvqSegment } from '../../dist/native.js'
import { SeededRandom } from './seeded-random.js'

export const exampleFiles = new Map([
  [
    'config.json',
    JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: 12,
      hidden_size: 20,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 16,
    }),
  ],
  ['tokenizer.json', '{}'],
])

export function plainTensors(): Map<string, PlainTensor> {
  const random = new SeededRandom(11)
  return new Map([
    ['model.embed_tokens.weight', { format: 'bf16', shape: [12, 20], data: random.bytes(480) }],
    ['model.norm.weight', { format: 'f32', shape: [20], data: new Uint8Array(80) }],
  ])
}

const one = 0x3c00

/** Codes are zero bits, which every format allows; pvq rows hold a different valid code in each group. */
export function exampleWeights(): Map<string, StoredWeights> {
  const random = new SeededRandom(12)
  const segments: PvqSegment[] = [
    { columns: 16, dimension: 8, pulses: 6, levels: Float32Array.of(2.5, 3.5) },
    { columns: 4, dimension: 4, pulses: 5, levels: Float32Array.of(1.5) },
  ]
  const rowBytes = segments.reduce((sum, { columns, dimension, pulses, levels }) => {
    const bits = codeBits({ dimension, pulses, levels: levels.length })
    return sum + Math.ceil((Math.ceil(columns / dimension) * bits) / 8)
  }, 0)
  const codes = new Uint8Array(7 * rowBytes)
  // The lowest byte of a row's first code may be anything: codes run to more than 2^15.
  for (let row = 0; row < 7; ++row) codes[row * rowBytes] = random.below(256)
  const lowRank: LowRankFactors = {
    rank: 3,
    a: new Int8Array(random.bytes(60).buffer),
    aScales: new Uint16Array(6).fill(one),
    b: new Int8Array(random.bytes(21).buffer),
    bScales: new Uint16Array(7).fill(one),
  }
  return new Map<string, StoredWeights>([
    [
      'model.layers.0.self_attn.q_proj.weight',
      {
        weights: { format: 'pvq', rows: 7, columns: 20, segments, codes, rowScale: new Uint16Array(7).fill(one) },
        rotation: { kind: 'hadamard', seed: 4_294_967_295 },
        lowRank,
      },
    ],
    [
      'model.layers.0.mlp.gate_proj.weight',
      {
        weights: {
          format: 'pvq',
          rows: 3,
          columns: 20,
          segments: [
            { columns: 20, dimension: 16, pulses: 20, levels: Float32Array.of(3.5, 4.5), lattice: 'barnes-wall' },
          ],
          codes: random.bytes(24).map((byte, i) => (i % 4 === 3 ? byte & 0x7f : byte)),
          rowScale: new Uint16Array(3).fill(one),
        },
        rotation: null,
      },
    ],
    [
      'model.layers.0.self_attn.k_proj.weight',
      {
        weights: {
          format: 'integer',
          rows: 5,
          columns: 20,
          bits: 3,
          groupSize: 16,
          codes: random.bytes(40),
          scales: new Uint16Array(10).fill(one),
          minimums: new Uint16Array(10).fill(one),
        },
        rotation: null,
      },
    ],
    [
      'model.layers.0.self_attn.v_proj.weight',
      {
        weights: {
          format: 'integer',
          rows: 5,
          columns: 20,
          bits: 4,
          groupSize: 20,
          codes: random.bytes(50),
          scales: new Uint16Array(5).fill(one),
        },
        rotation: null,
      },
    ],
    [
      'model.layers.0.self_attn.o_proj.weight',
      {
        weights: {
          format: 'mxint',
          rows: 5,
          columns: 20,
          bits: 4,
          blockSize: 16,
          codes: random.bytes(50),
          exponents: new Uint8Array(10).fill(127),
        },
        rotation: null,
      },
    ],
  ])
}
