// A Llama-shaped model of random weights as a GGUF file of one block type. Blocks are random bits with scales that keep the
// model's numbers finite: time does not depend on what the weights are.
import { randomFillSync } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import { native } from '../../dist/native.js'

/** GGML's number of each type, weights and bytes a block, and where in a block its f16 scales are, with their values. */
const types = {
  F32: { id: 0, weights: 1, bytes: 4 },
  F16: { id: 1, weights: 1, bytes: 2 },
  Q4_0: { id: 2, weights: 32, bytes: 18, halves: { 0: 0.004 } },
  Q4_1: { id: 3, weights: 32, bytes: 20, halves: { 0: 0.004, 2: -0.03 } },
  Q3_K: { id: 11, weights: 256, bytes: 110, halves: { 108: 0.0006 } },
  Q4_K: { id: 12, weights: 256, bytes: 144, halves: { 0: 0.00015, 2: 0.001 } },
  IQ3_XXS: { id: 18, weights: 256, bytes: 98, halves: { 0: 0.0003 } },
  IQ3_S: { id: 21, weights: 256, bytes: 110, halves: { 0: 0.0001 } },
  IQ4_XS: { id: 23, weights: 256, bytes: 136, halves: { 0: 0.00002 } },
}
/** Of llama.cpp's, those that the linear layers are timed with. */
export const blockTypes = Object.keys(types).slice(2)

/** Bits a weight of a type, its scales included. */
export const bitsOf = type => (8 * types[type].bytes) / types[type].weights

const ALIGNMENT = 32

/** `shape`: hidden, intermediate, heads, keyValueHeads, layers, vocabulary, context. Nothing half-written has the name. */
export async function writeRandomGguf(path, shape, type) {
  const tensors = [...tensorsOf(shape, type)]
  const file = createWriteStream(`${path}.new`)
  const write = bytes => file.write(bytes) || new Promise(resolve => file.once('drain', resolve))
  await write(header(shape, tensors))
  for (const { bytes, chunk } of tensors) {
    for (let at = 0; at < bytes; at += chunk.length) await write(chunk.subarray(0, Math.min(chunk.length, bytes - at)))
    await write(Buffer.alloc(aligned(bytes) - bytes))
  }
  file.end()
  await finished(file)
  await rename(`${path}.new`, path)
}

const aligned = bytes => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT

function* tensorsOf({ hidden, intermediate, heads, keyValueHeads, layers, vocabulary }, type) {
  const keyValueWidth = (hidden / heads) * keyValueHeads
  const chunks = { F32: ones(hidden), F16: randomHalves(), [type]: randomBlocks(types[type]) }
  const tensor = (name, format, ...shape) => {
    const { weights, bytes } = types[format]
    const count = shape.reduce((product, size) => product * size)
    return { name, type: types[format].id, shape, bytes: (count / weights) * bytes, chunk: chunks[format] }
  }
  yield tensor('token_embd.weight', 'F16', hidden, vocabulary)
  yield tensor('output_norm.weight', 'F32', hidden)
  yield tensor('output.weight', 'F16', hidden, vocabulary)
  for (let layer = 0; layer < layers; layer++) {
    const name = part => `blk.${layer}.${part}.weight`
    yield tensor(name('attn_norm'), 'F32', hidden)
    yield tensor(name('attn_q'), type, hidden, hidden)
    yield tensor(name('attn_k'), type, hidden, keyValueWidth)
    yield tensor(name('attn_v'), type, hidden, keyValueWidth)
    yield tensor(name('attn_output'), type, hidden, hidden)
    yield tensor(name('ffn_norm'), 'F32', hidden)
    yield tensor(name('ffn_gate'), type, hidden, intermediate)
    yield tensor(name('ffn_up'), type, hidden, intermediate)
    yield tensor(name('ffn_down'), type, intermediate, hidden)
  }
}

/** About a megabyte of blocks. */
function randomBlocks({ bytes, halves }) {
  const count = Math.floor(2 ** 20 / bytes)
  const chunk = randomFillSync(Buffer.alloc(count * bytes))
  for (const [offset, scale] of Object.entries(halves)) {
    const [half] = native.toHalf(Float32Array.of(scale))
    for (let block = 0; block < count; block++) chunk.writeUInt16LE(half, block * bytes + Number(offset))
  }
  return chunk
}

function ones(count) {
  return Buffer.from(new Float32Array(count).fill(1).buffer)
}

function randomHalves() {
  const values = Float32Array.from({ length: 2 ** 16 }, () => Math.random() * 0.04 - 0.02)
  return Buffer.from(native.toHalf(values).buffer)
}

function header(shape, tensors) {
  const metadata = metadataOf(shape)
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length), ...metadata.flat()]
  let offset = 0
  for (const { name, type, shape: sizes, bytes } of tensors) {
    parts.push(text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset))
    offset += aligned(bytes)
  }
  const whole = Buffer.concat(parts)
  return Buffer.concat([whole, Buffer.alloc(aligned(whole.length) - whole.length)])
}

const UINT32 = 4
const INT32 = 5
const FLOAT32 = 6
const STRING = 8
const ARRAY = 9

/** Keys and values; a vocabulary of bytes and of words that stand for nothing. */
function metadataOf({ hidden, intermediate, heads, keyValueHeads, layers, vocabulary, context }) {
  const number = (key, value) => [text(key), u32(UINT32), u32(value)]
  const real = (key, value) => [text(key), u32(FLOAT32), f32(value)]
  const words = (key, value) => [text(key), u32(STRING), text(value)]
  const array = (key, type, elements) => [text(key), u32(ARRAY), u32(type), u64(elements.length), ...elements]
  const [NORMAL, UNKNOWN, CONTROL, BYTE] = [1, 2, 3, 6]
  const hex = byte => byte.toString(16).toUpperCase().padStart(2, '0')
  const tokens = [
    ['<unk>', UNKNOWN],
    ['<s>', CONTROL],
    ['</s>', CONTROL],
    ...Array.from({ length: 256 }, (_, byte) => [`<0x${hex(byte)}>`, BYTE]),
    ...Array.from({ length: vocabulary - 259 }, (_, i) => [`word${i}`, NORMAL]),
  ]
  return [
    words('general.architecture', 'llama'),
    words('general.name', 'random'),
    number('llama.context_length', context),
    number('llama.embedding_length', hidden),
    number('llama.block_count', layers),
    number('llama.feed_forward_length', intermediate),
    number('llama.attention.head_count', heads),
    number('llama.attention.head_count_kv', keyValueHeads),
    number('llama.rope.dimension_count', hidden / heads),
    number('llama.vocab_size', vocabulary),
    real('llama.attention.layer_norm_rms_epsilon', 1e-5),
    real('llama.rope.freq_base', 10000),
    words('tokenizer.ggml.model', 'llama'),
    number('tokenizer.ggml.unknown_token_id', 0),
    number('tokenizer.ggml.bos_token_id', 1),
    number('tokenizer.ggml.eos_token_id', 2),
    array(
      'tokenizer.ggml.tokens',
      STRING,
      tokens.map(([token]) => text(token)),
    ),
    array(
      'tokenizer.ggml.scores',
      FLOAT32,
      tokens.map((_, i) => f32(-i)),
    ),
    array(
      'tokenizer.ggml.token_type',
      INT32,
      tokens.map(([, kind]) => u32(kind)),
    ),
  ]
}

function u32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function f32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function text(value) {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}
