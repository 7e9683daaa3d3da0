// Hugging Face folders of tiny models with random weights, written by the tests themselves.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RandomSource } from '../../dist/model/random-source.js'
import { randomNormal } from './random-normal.js'

/** The fields of config.json that the tests vary; names are those of transformers. */
export interface TinyConfig {
  model_type: string
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  head_dim: number
  max_position_embeddings: number
  rms_norm_eps: number
  rope_theta: number
  rope_scaling?: Record<string, unknown>
  tie_word_embeddings: boolean
  attention_bias?: boolean
  mlp_bias?: boolean
  sliding_window?: number
  use_sliding_window?: boolean
  max_window_layers?: number
}

export interface Tensor {
  shape: number[]
  /** Doubles only where the reference alone reads them. */
  values: Float32Array | Float64Array
}

export type Tensors = Map<string, Tensor>

/** Odd sizes and two query heads to a key head, all others default. */
export const tinyConfig: TinyConfig = {
  model_type: 'llama',
  vocab_size: 37,
  hidden_size: 20,
  intermediate_size: 27,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  max_position_embeddings: 96,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
}

/** Weights large enough that every part of the model matters to the logits. */
export function randomTensors(config: TinyConfig, seed: number): Tensors {
  const random = new RandomSource(seed)
  const tensors: Tensors = new Map()
  const hidden = config.hidden_size
  const queries = config.num_attention_heads * config.head_dim
  const keys = config.num_key_value_heads * config.head_dim
  const norm = (name: string, length: number) =>
    tensors.set(name, { shape: [length], values: randomNormal(random, length, 0.2, 1) })
  const linear = (name: string, out: number, inputs: number, bias = false) => {
    const values = randomNormal(random, out * inputs, 1.5 / Math.sqrt(inputs))
    tensors.set(`${name}.weight`, { shape: [out, inputs], values })
    if (bias) tensors.set(`${name}.bias`, { shape: [out], values: randomNormal(random, out, 0.5) })
  }
  const isQwen2 = config.model_type === 'qwen2'
  const attentionBias = config.attention_bias === true
  linear('model.embed_tokens', config.vocab_size, hidden)
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `model.layers.${layer}`
    norm(`${block}.input_layernorm.weight`, hidden)
    linear(`${block}.self_attn.q_proj`, queries, hidden, isQwen2 || attentionBias)
    linear(`${block}.self_attn.k_proj`, keys, hidden, isQwen2 || attentionBias)
    linear(`${block}.self_attn.v_proj`, keys, hidden, isQwen2 || attentionBias)
    linear(`${block}.self_attn.o_proj`, hidden, queries, attentionBias)
    if (config.model_type === 'qwen3') {
      norm(`${block}.self_attn.q_norm.weight`, config.head_dim)
      norm(`${block}.self_attn.k_norm.weight`, config.head_dim)
    }
    norm(`${block}.post_attention_layernorm.weight`, hidden)
    linear(`${block}.mlp.gate_proj`, config.intermediate_size, hidden, config.mlp_bias)
    linear(`${block}.mlp.up_proj`, config.intermediate_size, hidden, config.mlp_bias)
    linear(`${block}.mlp.down_proj`, hidden, config.intermediate_size, config.mlp_bias)
  }
  norm('model.norm.weight', hidden)
  if (!config.tie_word_embeddings) linear('lm_head', config.vocab_size, hidden)
  return tensors
}

/** A safetensors file: length of the header, header, data (huggingface/safetensors, "Format"). */
function safetensors(tensors: Tensors): Buffer {
  const header: Record<string, unknown> = {}
  let offset = 0
  for (const [name, { shape, values }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] }
    offset += values.byteLength
  }
  let json = JSON.stringify(header)
  json = json.padEnd(Math.ceil(json.length / 8) * 8)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  const data = [...tensors.values()].map(({ values }) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  )
  return Buffer.concat([length, Buffer.from(json), ...data])
}

/** Calls `use` with a folder that holds the model, and removes the folder afterwards. */
export async function withCheckpoint<T>(
  config: object,
  tensors: Tensors,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'pyramidion-tiny-'))
  try {
    await writeFile(join(folder, 'config.json'), JSON.stringify(config))
    await writeFile(join(folder, 'model.safetensors'), safetensors(tensors))
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}
