/** The hyper-parameters in a GGUF file's key-value pairs as a ModelConfig. Keys are those of llama.cpp's gguf constants. */
import { PyramidionError } from '../errors.js'
import { Fields } from './fields.js'
import type { GgufHeader } from './gguf-header.js'
import { limits } from './huggingface-config.js'
import { type Architecture, architectures, type ModelConfig, type RopeScaling } from './model-config.js'
import type { TensorInfo } from './model-source.js'

/** What the tensors of the file tell that its key-value pairs do not. */
export interface GgufFindings {
  tensors: ReadonlyMap<string, TensorInfo>
  /** The values of `rope_freqs.weight`, where there is one. */
  ropeFactors?: number[]
}

export function ggufConfig(header: GgufHeader, { tensors, ropeFactors }: GgufFindings, where: string): ModelConfig {
  const all = new Fields(Object.fromEntries(header.metadata), where)
  const stated = all.string('general.architecture')
  const base = architectures.find(name => name === stated && name !== 'mistral')
  if (!base)
    throw new PyramidionError(
      'UNSUPPORTED_ARCHITECTURE',
      `${where}: general.architecture is ${stated}; supported are llama (which includes Mistral), qwen2 and qwen3`,
    )
  const key = (name: string) => `${base}.${name}`
  if (all.has(key('expert_count')) && all.get(key('expert_count')) !== 0)
    throw new PyramidionError(
      'UNSUPPORTED_ARCHITECTURE',
      `${where}: is a mixture of experts; only dense models are supported`,
    )

  const embedding = tensors.get('model.embed_tokens.weight')
  if (!embedding) throw new PyramidionError('MISSING_TENSOR', `${where}: tensor token_embd.weight is missing`)
  const vocabularySize = embedding.shape[0]
  const hiddenSize = all.integer(key('embedding_length'), limits.hiddenSize)
  const layers = all.integer(key('block_count'), limits.layers)
  const heads = all.integer(key('attention.head_count'), limits.heads)
  const keyValueHeads = all.integer(key('attention.head_count_kv'), { minimum: 1, maximum: heads }, heads)
  if (heads % keyValueHeads !== 0) all.fail(key('attention.head_count_kv'), `a divisor of ${heads} heads`)
  const headDimension = all.integer(key('attention.key_length'), limits.headDimension, hiddenSize / heads)
  if (headDimension % 2 !== 0) all.fail(key('attention.key_length'), 'even')
  for (const name of ['attention.value_length', 'rope.dimension_count'])
    if (all.integer(key(name), limits.headDimension, headDimension) !== headDimension)
      all.fail(key(name), `the head dimension, ${headDimension}`)
  const window = all.integer(key('attention.sliding_window'), { minimum: 0, maximum: 2 ** 32 - 1 }, 0)
  const maximumPositions = all.integer(key('context_length'), limits.maximumPositions)
  const scaling = ropeScaling(all, base, maximumPositions, ropeFactors)
  if (ropeFactors && ropeFactors.length !== headDimension / 2)
    throw new PyramidionError(
      'INVALID_FILE',
      `${where}: tensor rope_freqs.weight must have ${headDimension / 2} values`,
    )
  const bos = all.tokenIds('tokenizer.ggml.bos_token_id', vocabularySize)[0]
  const has = (projection: string, kind: string) => tensors.has(`model.layers.0.${projection}.${kind}`)
  return {
    architecture: base === 'llama' && window > 0 ? 'mistral' : base,
    vocabularySize,
    hiddenSize,
    intermediateSize: all.integer(key('feed_forward_length'), limits.intermediateSize),
    layers,
    heads,
    keyValueHeads,
    headDimension,
    maximumPositions,
    rmsNormEpsilon: all.number(key('attention.layer_norm_rms_epsilon'), limits.rmsNormEpsilon),
    rope: {
      theta: all.number(key('rope.freq_base'), { minimum: 1, maximum: 1e15 }, 10_000),
      ...(scaling ? { scaling } : {}),
    },
    tieWordEmbeddings: !tensors.has('lm_head.weight'),
    queryKeyValueBias: has('self_attn.q_proj', 'bias'),
    attentionOutputBias: has('self_attn.o_proj', 'bias'),
    mlpBias: has('mlp.gate_proj', 'bias'),
    queryKeyNorm: has('self_attn.q_norm', 'weight'),
    attentionWindows: new Array(layers).fill(window),
    ...(bos === undefined ? {} : { bosTokenId: bos }),
    eosTokenIds: endTokens(all, vocabularySize),
  }
}

function ropeScaling(
  all: Fields,
  architecture: Architecture,
  maximumPositions: number,
  factors?: number[],
): RopeScaling | undefined {
  const key = (name: string) => `${architecture}.rope.scaling.${name}`
  const kind = all.string(key('type'), 'none')
  if (factors) return { kind: 'factors', factors }
  if (kind === 'none') return undefined
  if (kind !== 'linear' && kind !== 'yarn')
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${all.where}: ${key('type')} is ${kind}; supported are none, linear and yarn`,
    )
  const factor = all.number(key('factor'), { minimum: 1, maximum: 1e6 })
  if (kind === 'linear') return { kind, factor }
  const attentionFactor = all.number(key('attn_factor'), { minimum: 1e-3, maximum: 1e3 }, 1)
  return {
    kind,
    factor,
    originalMaximumPositions: all.integer(key('original_context_length'), limits.maximumPositions, maximumPositions),
    betaFast: all.number(key('yarn_beta_fast'), { minimum: 1e-3, maximum: 1e6 }, 32),
    betaSlow: all.number(key('yarn_beta_slow'), { minimum: 1e-3, maximum: 1e6 }, 1),
    attentionFactor: attentionFactor * (0.1 * Math.log(factor) + 1),
    truncate: true,
  }
}

/** Tokens that end a generation: those the file names, and control tokens of well-known meaning, as in llama.cpp. */
function endTokens(all: Fields, vocabularySize: number): number[] {
  const named = ['eos_token_id', 'eot_token_id', 'eom_token_id'].flatMap(name =>
    all.tokenIds(`tokenizer.ggml.${name}`, vocabularySize),
  )
  const wellKnown = ['<|im_end|>', '<|endoftext|>', '<|eot_id|>', '<|eom_id|>', '<|end_of_text|>', '</s>']
  const tokens = all.get('tokenizer.ggml.tokens')
  const known = Array.isArray(tokens) ? wellKnown.map(text => tokens.indexOf(text)).filter(id => id >= 0) : []
  return [...new Set([...named, ...known])].filter(id => id < vocabularySize)
}
