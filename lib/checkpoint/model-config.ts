/**
 * The hyper-parameters of a Llama-family model, in one form whatever file they came from. Readers of Hugging Face and
 * GGUF files produce it, already validated; the model graph and the quantizer consume it.
 */

/** Architectures the model graph runs. SmolLM and TinyLlama are `llama`. */
export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3'] as const
export type Architecture = (typeof architectures)[number]

/** How the rotary frequencies `theta^(-2i/D)` are changed for contexts longer than those of pre-training. */
export type RopeScaling =
  /** Every frequency divided by `factor`. */
  | { kind: 'linear'; factor: number }
  /** Llama 3.1: low frequencies divided by `factor`, high ones kept, smooth in between. */
  | {
      kind: 'llama3'
      factor: number
      lowFrequencyFactor: number
      highFrequencyFactor: number
      originalMaximumPositions: number
    }
  /** YaRN (arXiv 2309.00071). Cosine and sine are both multiplied by `attentionFactor`. */
  | {
      kind: 'yarn'
      factor: number
      originalMaximumPositions: number
      betaFast: number
      betaSlow: number
      attentionFactor: number
      /** Whether the ends of the ramp are rounded to whole dimensions. */
      truncate: boolean
    }
  /** Frequency i divided by `factors[i]`, headDimension / 2 of them: what a GGUF file's `rope_freqs` tensor holds. */
  | { kind: 'factors'; factors: number[] }

export interface ModelConfig {
  architecture: Architecture
  vocabularySize: number
  hiddenSize: number
  intermediateSize: number
  /** Number of transformer blocks. */
  layers: number
  heads: number
  /** Divides heads. */
  keyValueHeads: number
  /** Even. */
  headDimension: number
  /** Positions the model was made for; a longer context is an error. */
  maximumPositions: number
  rmsNormEpsilon: number
  rope: { theta: number; scaling?: RopeScaling }
  /** The head is the embedding; there is no `lm_head.weight`. */
  tieWordEmbeddings: boolean
  /** `q_proj.bias`, `k_proj.bias` and `v_proj.bias` exist. */
  queryKeyValueBias: boolean
  /** `o_proj.bias` exists. */
  attentionOutputBias: boolean
  /** `gate_proj.bias`, `up_proj.bias` and `down_proj.bias` exist. */
  mlpBias: boolean
  /** `q_norm.weight` and `k_norm.weight`, of headDimension values, exist. */
  queryKeyNorm: boolean
  /** One a layer: positions a query sees, itself included; 0 means all. */
  attentionWindows: number[]
  bosTokenId?: number
  /** Any of these ends a generation; may be empty. */
  eosTokenIds: number[]
}
