/**
 * config.json and generation_config.json of a Hugging Face folder as a ModelConfig, and back: field names and defaults
 * are those of transformers' LlamaConfig, MistralConfig, Qwen2Config and Qwen3Config.
 */
import { PyramidionError } from '../errors.js'
import { Fields, type UntrustedObject } from './fields.js'
import { type Architecture, architectures, type ModelConfig } from './model-config.js'
import { parseRope, ropeScalingEntry } from './rope-config.js'

/** Limits far above any model, so that products of two of them are exact and allocations cannot run away. */
export const limits = {
  vocabularySize: { minimum: 1, maximum: 2 ** 24 },
  hiddenSize: { minimum: 1, maximum: 2 ** 20 },
  intermediateSize: { minimum: 1, maximum: 2 ** 22 },
  layers: { minimum: 1, maximum: 2 ** 12 },
  heads: { minimum: 1, maximum: 2 ** 14 },
  headDimension: { minimum: 2, maximum: 2 ** 14 },
  maximumPositions: { minimum: 1, maximum: 2 ** 27 },
  rmsNormEpsilon: { minimum: 1e-12, maximum: 1 },
}

/** `where` is the path of config.json; `generation` the contents of generation_config.json where there is one. */
export function parseHuggingFaceConfig(json: UntrustedObject, where: string, generation?: Fields): ModelConfig {
  const config = new Fields(json, where)
  const architecture = parseArchitecture(config)
  const activation = config.string('hidden_act', 'silu')
  if (activation !== 'silu' && activation !== 'swish')
    throw new PyramidionError('UNSUPPORTED_ARCHITECTURE', `${where}: hidden_act is ${activation}; supported is silu`)

  const vocabularySize = config.integer('vocab_size', limits.vocabularySize)
  const layers = config.integer('num_hidden_layers', limits.layers)
  const heads = parseHeads(config, architecture)
  const rope = parseRope(
    config,
    heads.headDimension,
    config.integer('max_position_embeddings', limits.maximumPositions),
  )
  const bias = config.boolean('attention_bias', false)
  const bos = config.tokenIds('bos_token_id', vocabularySize)[0]
  const eos = [generation, config].flatMap(fields => fields?.tokenIds('eos_token_id', vocabularySize) ?? [])
  return {
    architecture,
    vocabularySize,
    hiddenSize: config.integer('hidden_size', limits.hiddenSize),
    intermediateSize: config.integer('intermediate_size', limits.intermediateSize),
    layers,
    ...heads,
    maximumPositions: rope.maximumPositions,
    rmsNormEpsilon: config.number('rms_norm_eps', limits.rmsNormEpsilon, 1e-6),
    rope: rope.rope,
    tieWordEmbeddings: config.boolean('tie_word_embeddings', false),
    queryKeyValueBias: architecture === 'qwen2' || (architecture !== 'mistral' && bias),
    attentionOutputBias: (architecture === 'llama' || architecture === 'qwen3') && bias,
    mlpBias: architecture === 'llama' && config.boolean('mlp_bias', false),
    queryKeyNorm: architecture === 'qwen3',
    attentionWindows: parseWindows(config, architecture, layers),
    ...(bos === undefined ? {} : { bosTokenId: bos }),
    eosTokenIds: [...new Set(eos)],
  }
}

function parseArchitecture(config: Fields): Architecture {
  const type = config.string('model_type')
  const architecture = architectures.find(name => name === type)
  const classes = config.has('architectures') ? config.array('architectures') : []
  const other = classes.find(name => typeof name !== 'string' || !name.endsWith('ForCausalLM'))
  if (architecture && other === undefined) return architecture
  throw new PyramidionError(
    'UNSUPPORTED_ARCHITECTURE',
    `${config.where}: ${architecture ? `architecture is ${other}` : `model_type is ${type}`}; supported are the causal language models of type ${architectures.join(', ')}`,
  )
}

function parseHeads(
  config: Fields,
  architecture: Architecture,
): Pick<ModelConfig, 'heads' | 'keyValueHeads' | 'headDimension'> {
  const heads = config.integer('num_attention_heads', limits.heads)
  const keyValueHeads = config.integer(
    'num_key_value_heads',
    { minimum: 1, maximum: heads },
    architecture === 'llama' ? heads : undefined,
  )
  if (heads % keyValueHeads !== 0) config.fail('num_key_value_heads', `a divisor of num_attention_heads, ${heads}`)
  const derived = config.integer('hidden_size', limits.hiddenSize) / heads
  const headDimension = config.integer('head_dim', limits.headDimension, architecture === 'qwen3' ? 128 : derived)
  if (headDimension % 2 !== 0) config.fail('head_dim', 'even')
  return { heads, keyValueHeads, headDimension }
}

/** Mistral windows every layer; Qwen only when asked, from layer max_window_layers on or as layer_types says. */
function parseWindows(config: Fields, architecture: Architecture, layers: number): number[] {
  const enabled =
    architecture === 'mistral' || (architecture !== 'llama' && config.boolean('use_sliding_window', false))
  if (!enabled || !config.has('sliding_window')) return new Array(layers).fill(0)
  const window = config.integer('sliding_window', limits.maximumPositions)
  if (config.has('layer_types')) {
    const types = config.array('layer_types')
    if (types.length !== layers || !types.every(type => type === 'full_attention' || type === 'sliding_attention'))
      config.fail('layer_types', `"full_attention" or "sliding_attention" for each of ${layers} layers`)
    return types.map(type => (type === 'sliding_attention' ? window : 0))
  }
  const first =
    architecture === 'mistral' ? 0 : config.integer('max_window_layers', { minimum: 0, maximum: 2 ** 20 }, 28)
  return Array.from({ length: layers }, (_, layer) => (layer >= first ? window : 0))
}

const architectureClasses: Record<Architecture, string> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
}

/** The config.json that {@link parseHuggingFaceConfig} reads back as `config`: for models that came without one. */
export function huggingFaceConfig(config: ModelConfig): UntrustedObject {
  const window = config.attentionWindows.find(size => size > 0)
  return {
    architectures: [architectureClasses[config.architecture]],
    model_type: config.architecture,
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headDimension,
    hidden_act: 'silu',
    max_position_embeddings: config.maximumPositions,
    rms_norm_eps: config.rmsNormEpsilon,
    rope_theta: config.rope.theta,
    ...(config.rope.scaling ? { rope_scaling: ropeScalingEntry(config.rope.scaling) } : {}),
    tie_word_embeddings: config.tieWordEmbeddings,
    attention_bias: config.queryKeyValueBias,
    mlp_bias: config.mlpBias,
    ...(window === undefined
      ? {}
      : {
          sliding_window: window,
          use_sliding_window: true,
          layer_types: config.attentionWindows.map(size => (size > 0 ? 'sliding_attention' : 'full_attention')),
        }),
    ...(config.bosTokenId === undefined ? {} : { bos_token_id: config.bosTokenId }),
    eos_token_id: config.eosTokenIds,
  }
}
