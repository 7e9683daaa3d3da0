/** Sizes of the formats a stored tensor may have. */
import type { DenseFormat } from '../native.js'
import type { TensorFormat } from './model-source.js'

/** `values` consecutive values of a row are stored together in `bytes` bytes. */
interface Block {
  values: number
  bytes: number
}

const blocks: Record<TensorFormat, Block> = {
  f64: { values: 1, bytes: 8 },
  f32: { values: 1, bytes: 4 },
  f16: { values: 1, bytes: 2 },
  bf16: { values: 1, bytes: 2 },
  u8: { values: 1, bytes: 1 },
  i8: { values: 1, bytes: 1 },
  u16: { values: 1, bytes: 2 },
  i16: { values: 1, bytes: 2 },
  u32: { values: 1, bytes: 4 },
  i32: { values: 1, bytes: 4 },
  u64: { values: 1, bytes: 8 },
  i64: { values: 1, bytes: 8 },
  bool: { values: 1, bytes: 1 },
  // The block formats of GGUF: packed values, then f16 scales (and minimums), see ggml-common.h.
  q8_0: { values: 32, bytes: 34 },
  q4_0: { values: 32, bytes: 18 },
  q4_1: { values: 32, bytes: 20 },
  q4_k: { values: 256, bytes: 144 },
  q6_k: { values: 256, bytes: 210 },
}

const denseFormats: readonly string[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q4_k', 'q6_k']

export function isDenseFormat(format: TensorFormat): format is DenseFormat {
  return denseFormats.includes(format)
}

export function blockOf(format: TensorFormat): Block {
  return blocks[format]
}

/**
 * Bytes of a tensor, or undefined when its rows do not hold whole blocks or its size is not a safe integer (which no
 * file on disk can have).
 */
export function tensorBytes(format: TensorFormat, shape: readonly number[]): number | undefined {
  const { values, bytes } = blocks[format]
  if ((shape.at(-1) ?? 1) % values !== 0) return undefined
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  const size = (count / values) * bytes
  return Number.isSafeInteger(count) && Number.isSafeInteger(size) ? size : undefined
}
