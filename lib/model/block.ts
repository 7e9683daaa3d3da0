/**
 * One transformer block: RMS norm, grouped-query attention with rotary positions, RMS norm, SwiGLU, each added to the
 * residual stream. Can be loaded and run alone, which is how calibration walks through a model.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import type { Activations } from '../linear/activations.js'
import { native } from '../native.js'
import type { LayerCache } from './key-value-cache.js'
import { commonPreparation, type Preparation, Projection, readVector } from './projection.js'
import type { Workspace } from './workspace.js'

/** The four inputs of a block's linear layers: of q/k/v, of o, of gate/up, of down. */
export type LinearInput = 'attention' | 'attentionOutput' | 'mlp' | 'mlpDown'

/** Sees an input of linear layers as the model has it: tokens x width, valid only during the call, not to be changed. */
export type InputHook = (input: LinearInput, x: Float32Array, tokens: number) => void

type ProjectionName = 'query' | 'key' | 'value' | 'output' | 'gate' | 'up' | 'down'

/** The layers of a block, for what else is computed with them (block-gradient.ts). */
export interface BlockParts extends Record<ProjectionName, Projection> {
  attentionNorm: Float32Array
  mlpNorm: Float32Array
  queryNorm?: Float32Array
  keyNorm?: Float32Array
}

export class Block {
  readonly #prepareAttention: Preparation | undefined
  readonly #prepareMlp: Preparation | undefined

  private constructor(
    readonly config: ModelConfig,
    readonly layer: number,
    readonly parts: Readonly<BlockParts>,
  ) {
    this.#prepareAttention = commonPreparation([parts.query, parts.key, parts.value])
    this.#prepareMlp = commonPreparation([parts.gate, parts.up])
  }

  /** `source` has passed checkTensors. The inputs of its linear layers are rounded to `activations`. */
  static async load(
    source: ModelSource,
    layer: number,
    signal?: AbortSignal,
    activations?: Activations,
  ): Promise<Block> {
    const { config } = source
    const prefix = `model.layers.${layer}.`
    const vector = (name: string) => readVector(source, prefix + name, signal)
    const linear = (name: string, bias: boolean) => Projection.load(source, prefix + name, bias, signal, activations)
    return new Block(config, layer, {
      attentionNorm: await vector('input_layernorm.weight'),
      query: await linear('self_attn.q_proj', config.queryKeyValueBias),
      key: await linear('self_attn.k_proj', config.queryKeyValueBias),
      value: await linear('self_attn.v_proj', config.queryKeyValueBias),
      queryNorm: config.queryKeyNorm ? await vector('self_attn.q_norm.weight') : undefined,
      keyNorm: config.queryKeyNorm ? await vector('self_attn.k_norm.weight') : undefined,
      output: await linear('self_attn.o_proj', config.attentionOutputBias),
      mlpNorm: await vector('post_attention_layernorm.weight'),
      gate: await linear('mlp.gate_proj', config.mlpBias),
      up: await linear('mlp.up_proj', config.mlpBias),
      down: await linear('mlp.down_proj', config.mlpBias),
    })
  }

  /** Bytes the weights of the linear layers occupy in memory. */
  get bytes(): number {
    const { query, key, value, output, gate, up, down } = this.parts
    return [query, key, value, output, gate, up, down].reduce((sum, { linear }) => sum + linear.bytes, 0)
  }

  /**
   * Runs the block in place on x (tokens x hidden), the residual stream of positions past .. past + tokens - 1. `cache`
   * holds the positions before and has room for these.
   */
  forward(
    x: Float32Array,
    tokens: number,
    cache: LayerCache,
    past: number,
    workspace: Workspace,
    hook?: InputHook,
  ): void {
    this.#attend(x, tokens, cache, past, workspace, hook)
    this.#feedForward(x, tokens, workspace, hook)
  }

  #attend(x: Float32Array, tokens: number, cache: LayerCache, past: number, workspace: Workspace, hook?: InputHook) {
    const { heads, keyValueHeads, headDimension, rmsNormEpsilon, attentionWindows } = this.config
    const { attentionNorm, query, key, value, queryNorm, keyNorm, output } = this.parts
    const { normed, query: queries, attended } = workspace.buffers(tokens)
    const width = keyValueHeads * headDimension
    // Keys and values are computed where they stay.
    const keys = cache.keys.subarray(past * width, (past + tokens) * width)
    const values = cache.values.subarray(past * width, (past + tokens) * width)

    native.rmsNorm(x, attentionNorm, rmsNormEpsilon, tokens, normed)
    hook?.('attention', normed, tokens)
    this.#prepareAttention?.(normed, tokens)
    const prepared = this.#prepareAttention !== undefined
    query.forward(normed, tokens, queries, prepared)
    key.forward(normed, tokens, keys, prepared)
    value.forward(normed, tokens, values, prepared)
    if (queryNorm) native.rmsNorm(queries, queryNorm, rmsNormEpsilon, tokens * heads, queries)
    if (keyNorm) native.rmsNorm(keys, keyNorm, rmsNormEpsilon, tokens * keyValueHeads, keys)
    const { cosine, sine } = workspace.rotary.tables(past, tokens)
    native.rotary(queries, tokens, heads, cosine, sine)
    native.rotary(keys, tokens, keyValueHeads, cosine, sine)
    native.attention(
      queries,
      cache.keys.subarray(0, (past + tokens) * width),
      cache.values.subarray(0, (past + tokens) * width),
      { tokens, past, heads, keyValueHeads, headDimension, window: attentionWindows[this.layer] },
      attended,
    )
    hook?.('attentionOutput', attended, tokens)
    output.forward(attended, tokens, normed)
    native.addInPlace(x, normed)
  }

  #feedForward(x: Float32Array, tokens: number, workspace: Workspace, hook?: InputHook) {
    const { mlpNorm, gate, up, down } = this.parts
    const { normed, gate: gated, up: raised } = workspace.buffers(tokens)
    native.rmsNorm(x, mlpNorm, this.config.rmsNormEpsilon, tokens, normed)
    hook?.('mlp', normed, tokens)
    this.#prepareMlp?.(normed, tokens)
    const prepared = this.#prepareMlp !== undefined
    gate.forward(normed, tokens, gated, prepared)
    up.forward(normed, tokens, raised, prepared)
    native.siluMultiply(gated, raised, gated)
    hook?.('mlpDown', gated, tokens)
    down.forward(gated, tokens, normed)
    native.addInPlace(x, normed)
  }
}
