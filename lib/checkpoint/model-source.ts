/**
 * A model on disk, opened lazily: its configuration and the list of its tensors are read and validated at once, weights
 * only when asked for. Obtained from `openModel(path)` in open-model.ts.
 */
import type { DenseFormat } from '../native.js'
import type { ModelConfig } from './model-config.js'
import type { QuantizedTensorMetadata } from './quantized-metadata.js'
import type { Tokenizer } from './tokenizer.js'

/** Formats a tensor may have in a file. Only those of {@link DenseFormat} are weights that can be computed with. */
export type TensorFormat = DenseFormat | 'f64' | 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | 'bool'

export interface TensorInfo {
  /** Hugging Face name, e.g. `model.layers.0.self_attn.q_proj.weight`. */
  name: string
  format: TensorFormat
  /** Row-major: [out, in] for a weight matrix. */
  shape: number[]
  bytes: number
}

export interface ModelSource {
  readonly kind: 'huggingface' | 'gguf' | 'quantized'
  readonly path: string
  readonly config: ModelConfig
  /** Every tensor stored, the parts of quantized ones (`X.weight.codes`, ...) included. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Quantized tensors by the name of the weight they stand for (`X.weight`); empty unless kind is 'quantized'. */
  readonly quantized: ReadonlyMap<string, QuantizedTensorMetadata>
  /** `quantization_config` of a quantized folder, otherwise empty. */
  readonly quantizationConfig: Readonly<Record<string, unknown>>
  /** Changes when any of the weight files does (names, sizes, times of modification, headers): sha256, hexadecimal. */
  readonly fingerprint: string
  /** Bytes of all weight files. */
  readonly bytes: number

  /**
   * The stored bytes of one tensor, in a buffer of their own. Rotary rows of GGUF llama files come back in Hugging
   * Face's half-split order. Throws MISSING_TENSOR for a name that is not in {@link tensors}.
   */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array>
  /** Made anew, to be kept by who needs it: a vocabulary is many small objects. */
  tokenizer(): Promise<Tokenizer>
  /**
   * The text files that belong beside the weights of a model made from this one, by name: config.json (without a
   * quantization_config), generation_config.json, tokenizer.json, tokenizer_config.json, ...
   */
  files(): Promise<Map<string, string>>
  close(): Promise<void>
}
