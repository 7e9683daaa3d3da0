/**
 * One transformer block: RMS norm, grouped-query attention with rotary positions, RMS norm, SwiGLU, each added to the
 * residual stream. Can be loaded and run alone, which is how calibration walks through a model.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { GraphSource, StoredWeights } from '../checkpoint/read-weights.js'
import type { Activations } from '../linear/activations.js'
import type { Layout } from '../linear/layout.js'
import { type NativeBlockParts, type NativeBlocks, native } from '../native.js'
import type { Placer } from './model-placement.js'
import { commonPreparation, type Preparation, Projection, readVector } from './projection.js'
import { type ProjectionRole, projectionRoles, projections } from './projection-names.js'
import type { Workspace } from './workspace.js'

/** The four inputs of a block's linear layers, in the order of computation: of q/k/v, of o, of gate/up, of down. */
export const linearInputs = ['attention', 'attentionOutput', 'mlp', 'mlpDown'] as const
export type LinearInput = (typeof linearInputs)[number]

const projectionsOf: Record<LinearInput, readonly ProjectionRole[]> = {
  attention: ['query', 'key', 'value'],
  attentionOutput: ['output'],
  mlp: ['gate', 'up'],
  mlpDown: ['down'],
}

const weightName = (layer: number, name: ProjectionRole) => `model.layers.${layer}.${projections[name]}.weight`

/** Names of the weights that an input of a block feeds. */
export function weightsFedBy(layer: number, input: LinearInput): string[] {
  return projectionsOf[input].map(name => weightName(layer, name))
}

/** The block and the input that feed a weight; undefined for any other tensor. */
export function inputOf(weight: string): { layer: number; input: LinearInput } | undefined {
  const [, digits] = /^model\.layers\.(\d+)\./.exec(weight) ?? []
  const layer = Number(digits)
  const input = linearInputs.find(candidate => weightsFedBy(layer, candidate).includes(weight))
  return input && { layer, input }
}

/** The layers of a block, for what else is computed with them (block-gradient.ts). */
export interface BlockParts extends Record<ProjectionRole, Projection> {
  attentionNorm: Float32Array
  mlpNorm: Float32Array
  queryNorm?: Float32Array
  keyNorm?: Float32Array
}

/** Tokens that are a whole text. */
export interface BlockPass {
  tokens: number
  workspace: Workspace
}

export class Block {
  readonly #prepareAttention: Preparation | undefined
  readonly #prepareMlp: Preparation | undefined
  readonly #native: NativeBlockParts
  #alone: NativeBlocks | undefined

  private constructor(
    readonly config: ModelConfig,
    readonly layer: number,
    readonly parts: Readonly<BlockParts>,
  ) {
    this.#prepareAttention = commonPreparation([parts.query, parts.key, parts.value])
    this.#prepareMlp = commonPreparation([parts.gate, parts.up])
    const { rmsNormEpsilon: epsilon, heads, keyValueHeads, headDimension, attentionWindows } = config
    const { attentionNorm, mlpNorm, queryNorm, keyNorm } = parts
    const linear = (name: ProjectionRole) => parts[name].linear
    this.#native = {
      query: linear('query'),
      key: linear('key'),
      value: linear('value'),
      output: linear('output'),
      gate: linear('gate'),
      up: linear('up'),
      down: linear('down'),
      attentionNorm,
      mlpNorm,
      queryNorm,
      keyNorm,
      epsilon,
      heads,
      keyValueHeads,
      headDimension,
      window: attentionWindows[layer],
    }
  }

  /** `source` has passed checkTensors. The inputs of its linear layers are rounded to `activations`. */
  static async load(
    source: GraphSource,
    layer: number,
    signal?: AbortSignal,
    activations?: Activations,
    layout?: Layout,
    place?: Placer,
  ): Promise<Block> {
    const { config } = source
    const prefix = `model.layers.${layer}.`
    const vector = (name: string) => readVector(source, prefix + name, signal)
    const linear = (name: ProjectionRole, bias: boolean) =>
      Projection.load(source, prefix + projections[name], bias, signal, activations, layout, place)
    return new Block(config, layer, {
      attentionNorm: await vector('input_layernorm.weight'),
      query: await linear('query', config.queryKeyValueBias),
      key: await linear('key', config.queryKeyValueBias),
      value: await linear('value', config.queryKeyValueBias),
      queryNorm: config.queryKeyNorm ? await vector('self_attn.q_norm.weight') : undefined,
      keyNorm: config.queryKeyNorm ? await vector('self_attn.k_norm.weight') : undefined,
      output: await linear('output', config.attentionOutputBias),
      mlpNorm: await vector('post_attention_layernorm.weight'),
      gate: await linear('gate', config.mlpBias),
      up: await linear('up', config.mlpBias),
      down: await linear('down', config.mlpBias),
    })
  }

  /** The same block with other weights in some of its linear layers, by the names of their weights. */
  withWeights(replaced: ReadonlyMap<string, StoredWeights>): Block {
    const parts = { ...this.parts }
    for (const name of projectionRoles) {
      const stored = replaced.get(weightName(this.layer, name))
      if (stored !== undefined) parts[name] = parts[name].withWeights(stored)
    }
    return new Block(this.config, this.layer, parts)
  }

  /** Bytes the weights of the linear layers occupy in memory. */
  get bytes(): number {
    const { query, key, value, output, gate, up, down } = this.parts
    return [query, key, value, output, gate, up, down].reduce((sum, { linear }) => sum + linear.bytes, 0)
  }

  /** Runs the block in place on x (tokens x hidden), the residual stream. */
  forward(x: Float32Array, { tokens, workspace }: BlockPass): void {
    const { cosine, sine } = workspace.rotary.tables(0, tokens)
    this.#alone ??= Block.together([this])
    native.forwardBlocks(this.#alone, x, tokens, 0, undefined, cosine, sine)
  }

  /** All blocks of a model as one operation: what comes between their products is little, but would be more for each call. */
  static together(blocks: readonly Block[]): NativeBlocks {
    return new native.Blocks(blocks.map(block => block.#native))
  }

  // The steps of forward, each up to an input of linear layers or to the end of a residual branch. What they return is a
  // buffer of the workspace, valid until the next step.

  /** The input of q, k and v: x, normed. */
  attentionInput(x: Float32Array, { tokens, workspace }: BlockPass): Float32Array {
    const { normed } = workspace.buffers(tokens)
    native.rmsNorm(x, this.parts.attentionNorm, this.config.rmsNormEpsilon, tokens, normed)
    return normed
  }

  /** The input of o: what attention makes of its input, which it may change. */
  attend(input: Float32Array, { tokens, workspace }: BlockPass): Float32Array {
    const { heads, keyValueHeads, headDimension, rmsNormEpsilon, attentionWindows } = this.config
    const { query, key, value, queryNorm, keyNorm } = this.parts
    const { query: queries, key: keys, value: values, attended } = workspace.buffers(tokens)

    this.#prepareAttention?.(input, tokens)
    const prepared = this.#prepareAttention !== undefined
    query.forward(input, tokens, queries, prepared)
    key.forward(input, tokens, keys, prepared)
    value.forward(input, tokens, values, prepared)
    if (queryNorm) native.rmsNorm(queries, queryNorm, rmsNormEpsilon, tokens * heads, queries)
    if (keyNorm) native.rmsNorm(keys, keyNorm, rmsNormEpsilon, tokens * keyValueHeads, keys)
    const { cosine, sine } = workspace.rotary.tables(0, tokens)
    native.rotary(queries, tokens, heads, cosine, sine)
    native.rotary(keys, tokens, keyValueHeads, cosine, sine)
    const shape = { tokens, heads, keyValueHeads, headDimension, window: attentionWindows[this.layer] }
    native.attention(queries, keys, values, shape, attended)
    return attended
  }

  /** x += o(attended). */
  addAttention(x: Float32Array, attended: Float32Array, { tokens, workspace }: BlockPass): void {
    const { normed } = workspace.buffers(tokens)
    this.parts.output.forward(attended, tokens, normed)
    native.addInPlace(x, normed)
  }

  /** The input of gate and up: x, normed. */
  mlpInput(x: Float32Array, { tokens, workspace }: BlockPass): Float32Array {
    const { normed } = workspace.buffers(tokens)
    native.rmsNorm(x, this.parts.mlpNorm, this.config.rmsNormEpsilon, tokens, normed)
    return normed
  }

  /** The input of down: silu(gate) * up of the MLP's input, which it may change. */
  gate(input: Float32Array, { tokens, workspace }: BlockPass): Float32Array {
    const { gate, up } = this.parts
    const { gate: gated, up: raised } = workspace.buffers(tokens)
    this.#prepareMlp?.(input, tokens)
    const prepared = this.#prepareMlp !== undefined
    gate.forward(input, tokens, gated, prepared)
    up.forward(input, tokens, raised, prepared)
    native.siluMultiply(gated, raised, gated)
    return gated
  }

  /** x += down(gated). */
  addMlp(x: Float32Array, gated: Float32Array, { tokens, workspace }: BlockPass): void {
    const { normed } = workspace.buffers(tokens)
    this.parts.down.forward(gated, tokens, normed)
    native.addInPlace(x, normed)
  }
}
