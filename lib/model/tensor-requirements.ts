/**
 * The tensors a Llama-family graph needs, with their shapes, and the check that a checkpoint has them: done from headers
 * alone, before anything large is read.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { isDenseFormat } from '../checkpoint/tensor-format.js'
import { PyramidionError } from '../errors.js'

export interface TensorRequirement {
  name: string
  /** [out, in] for a matrix, [length] for a vector. */
  shape: number[]
  /** Only the projections of attention and MLP are `linear`: what `bits` of a quantized model speaks of. */
  role: 'embedding' | 'head' | 'linear' | 'vector'
}

/** Every tensor of the architecture, in the order of computation. */
export function requiredTensors(config: ModelConfig): TensorRequirement[] {
  const { hiddenSize, vocabularySize } = config
  const list: TensorRequirement[] = [
    { name: 'model.embed_tokens.weight', shape: [vocabularySize, hiddenSize], role: 'embedding' },
  ]
  for (let layer = 0; layer < config.layers; layer++) list.push(...blockTensors(config, layer))
  list.push({ name: 'model.norm.weight', shape: [hiddenSize], role: 'vector' })
  if (!config.tieWordEmbeddings) {
    list.push({ name: 'lm_head.weight', shape: [vocabularySize, hiddenSize], role: 'head' })
  }
  return list
}

/** Those of one transformer block. */
export function blockTensors(config: ModelConfig, layer: number): TensorRequirement[] {
  const { hiddenSize: hidden, intermediateSize: intermediate, headDimension } = config
  const queries = config.heads * headDimension
  const keys = config.keyValueHeads * headDimension
  const block = `model.layers.${layer}.`
  const list: TensorRequirement[] = []
  const vector = (name: string, length: number) => list.push({ name: block + name, shape: [length], role: 'vector' })
  const linear = (name: string, out: number, inputs: number, bias: boolean) => {
    list.push({ name: `${block}${name}.weight`, shape: [out, inputs], role: 'linear' })
    if (bias) vector(`${name}.bias`, out)
  }
  vector('input_layernorm.weight', hidden)
  linear('self_attn.q_proj', queries, hidden, config.queryKeyValueBias)
  linear('self_attn.k_proj', keys, hidden, config.queryKeyValueBias)
  linear('self_attn.v_proj', keys, hidden, config.queryKeyValueBias)
  if (config.queryKeyNorm) {
    vector('self_attn.q_norm.weight', headDimension)
    vector('self_attn.k_norm.weight', headDimension)
  }
  linear('self_attn.o_proj', hidden, queries, config.attentionOutputBias)
  vector('post_attention_layernorm.weight', hidden)
  linear('mlp.gate_proj', intermediate, hidden, config.mlpBias)
  linear('mlp.up_proj', intermediate, hidden, config.mlpBias)
  linear('mlp.down_proj', hidden, intermediate, config.mlpBias)
  return list
}

/**
 * Throws MISSING_TENSOR, INVALID_SHAPE or UNSUPPORTED_FORMAT unless `source` has every tensor its architecture needs, in
 * the right shape and a format that can be computed with.
 */
export function checkTensors(source: ModelSource): void {
  for (const { name, shape, role } of requiredTensors(source.config)) {
    const quantized = role === 'vector' ? undefined : source.quantized.get(name)
    const stored = source.tensors.get(name)
    if (quantized === undefined && stored === undefined) {
      throw new PyramidionError(
        'MISSING_TENSOR',
        `${source.path}: has no tensor ${name}, which ${source.config.architecture} models need`,
      )
    }
    const actual = quantized ? [quantized.rows, quantized.columns] : stored!.shape
    if (actual.length !== shape.length || actual.some((size, axis) => size !== shape[axis])) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `${source.path}: tensor ${name} must have shape [${shape}] by the configuration, it has [${actual}]`,
      )
    }
    if (quantized === undefined && !isDenseFormat(stored!.format)) {
      throw new PyramidionError(
        'UNSUPPORTED_FORMAT',
        `${source.path}: tensor ${name} is stored as ${stored!.format}, not as a float type`,
      )
    }
  }
}
