/**
 * The backward pass through one transformer block, by hand: from the gradient of a loss at the block's output over one whole
 * window to that at its input, and on the way the gradient at the output of each of its layers. What the forward pass
 * computed is computed again and kept, so that only the block's input has to be stored.
 */
import { native } from '../native.js'
import type { Block } from './block.js'
import { commonPreparation, commonRotation, type Projection } from './projection.js'
import type { ProjectionName } from './projection-names.js'
import { RotaryEmbedding } from './rotary-embedding.js'

export type NormName =
  | 'input_layernorm'
  | 'self_attn.q_norm'
  | 'self_attn.k_norm'
  | 'post_attention_layernorm'
  /** Above the last block. */
  | 'model.norm'

/**
 * Sees a layer's inputs and the gradient of the loss at its outputs; both are valid only during the call and not to be
 * changed. Layers come in the order of the backward pass.
 */
export interface GradientHooks {
  /** x: tokens x in, not rotated; gradient: tokens x out. */
  projection?(name: ProjectionName, x: Float32Array, gradient: Float32Array, tokens: number): void
  /** x, gradient: rows x width, one row a token, or a token and head for q_norm and k_norm. */
  norm?(name: NormName, x: Float32Array, gradient: Float32Array, rows: number): void
}

/** tokens x width each. */
interface Buffers {
  /** Normed inputs of q, k and v, and of gate and up. */
  attentionInput: Float32Array
  mlpInput: Float32Array
  /** The residual stream between attention and feed-forward. */
  middle: Float32Array
  /** For what is turned in place or added to the residual stream. */
  scratch: Float32Array
  query: Float32Array
  key: Float32Array
  value: Float32Array
  attended: Float32Array
  queryGradient: Float32Array
  keyGradient: Float32Array
  valueGradient: Float32Array
  gate: Float32Array
  up: Float32Array
  gated: Float32Array
  /** Queries and keys before their norms, where the model has those. */
  plainQuery: Float32Array
  plainKey: Float32Array
}

export class BlockGradient {
  readonly #rotary: RotaryEmbedding
  #capacity = 0
  #full!: Buffers

  /** Buffers are shared by all blocks of a model that are given to one instance's {@link backward}. */
  constructor(private readonly config: Block['config']) {
    this.#rotary = new RotaryEmbedding(config)
  }

  /**
   * `hidden` (tokens x hidden) is the input of the block for positions 0 to tokens - 1. `gradient` (tokens x hidden), that at
   * the block's output, becomes that at its input.
   */
  backward(
    block: Block,
    hidden: Float32Array,
    gradient: Float32Array,
    tokens: number,
    hooks: GradientHooks = {},
  ): void {
    const buffers = this.#buffers(tokens)
    this.#attend(block, hidden, tokens, buffers)
    this.#feedForward(block, tokens, buffers)
    this.#feedForwardBackward(block, gradient, tokens, buffers, hooks)
    this.#attendBackward(block, hidden, gradient, tokens, buffers, hooks)
  }

  #attend({ layer, parts }: Block, hidden: Float32Array, tokens: number, buffers: Buffers): void {
    const { heads, keyValueHeads, rmsNormEpsilon: epsilon } = this.config
    const { attentionInput, middle, scratch, query, key, value, attended, plainQuery, plainKey } = buffers
    native.rmsNorm(hidden, parts.attentionNorm, epsilon, tokens, attentionInput)
    forwardTogether(attentionInput, scratch, tokens, [
      [parts.query, query],
      [parts.key, key],
      [parts.value, value],
    ])
    if (parts.queryNorm) {
      plainQuery.set(query)
      native.rmsNorm(query, parts.queryNorm, epsilon, tokens * heads, query)
    }
    if (parts.keyNorm) {
      plainKey.set(key)
      native.rmsNorm(key, parts.keyNorm, epsilon, tokens * keyValueHeads, key)
    }
    const { cosine, sine } = this.#rotary.tables(0, tokens)
    native.rotary(query, tokens, heads, cosine, sine)
    native.rotary(key, tokens, keyValueHeads, cosine, sine)
    native.attention(query, key, value, this.#shape(layer, tokens), attended)
    parts.output.forward(attended, tokens, middle)
    native.addInPlace(middle, hidden)
  }

  #feedForward({ parts }: Block, tokens: number, { mlpInput, middle, scratch, gate, up, gated }: Buffers): void {
    native.rmsNorm(middle, parts.mlpNorm, this.config.rmsNormEpsilon, tokens, mlpInput)
    forwardTogether(mlpInput, scratch, tokens, [
      [parts.gate, gate],
      [parts.up, up],
    ])
    native.siluMultiply(gate, up, gated)
  }

  /** From the gradient at the block's output to that at `middle`. */
  #feedForwardBackward(
    { parts }: Block,
    gradient: Float32Array,
    tokens: number,
    buffers: Buffers,
    hooks: GradientHooks,
  ) {
    const { mlpInput, middle, scratch, gate, up, gated } = buffers
    hooks.projection?.('mlp.down_proj', gated, gradient, tokens)
    // The output is not needed again: its place takes its gradient.
    parts.down.linear.backward(gradient, tokens, gated, false, false)
    native.siluMultiplyBackward(gate, up, gated)
    hooks.projection?.('mlp.gate_proj', mlpInput, gate, tokens)
    hooks.projection?.('mlp.up_proj', mlpInput, up, tokens)
    backwardTogether(scratch, tokens, [
      [parts.gate, gate],
      [parts.up, up],
    ])
    hooks.norm?.('post_attention_layernorm', middle, scratch, tokens)
    native.rmsNormBackward(middle, parts.mlpNorm, this.config.rmsNormEpsilon, tokens, scratch, scratch)
    native.addInPlace(gradient, scratch)
  }

  /** From the gradient at `middle` to that at the block's input. */
  #attendBackward(
    { layer, parts }: Block,
    hidden: Float32Array,
    gradient: Float32Array,
    tokens: number,
    buffers: Buffers,
    hooks: GradientHooks,
  ): void {
    const { heads, keyValueHeads, rmsNormEpsilon: epsilon } = this.config
    const { attentionInput, scratch, query, key, value, attended, plainQuery, plainKey } = buffers
    const { queryGradient, keyGradient, valueGradient } = buffers
    hooks.projection?.('self_attn.o_proj', attended, gradient, tokens)
    parts.output.linear.backward(gradient, tokens, attended, false, false)
    const shape = this.#shape(layer, tokens)
    native.attentionBackward(query, key, value, attended, shape, queryGradient, keyGradient, valueGradient)
    const { cosine, sine } = this.#rotary.tables(0, tokens)
    // A rotation's transpose turns the other way.
    const back = sine.map(value => -value)
    native.rotary(queryGradient, tokens, heads, cosine, back)
    native.rotary(keyGradient, tokens, keyValueHeads, cosine, back)
    if (parts.queryNorm) {
      const rows = tokens * heads
      hooks.norm?.('self_attn.q_norm', plainQuery, queryGradient, rows)
      native.rmsNormBackward(plainQuery, parts.queryNorm, epsilon, rows, queryGradient, queryGradient)
    }
    if (parts.keyNorm) {
      const rows = tokens * keyValueHeads
      hooks.norm?.('self_attn.k_norm', plainKey, keyGradient, rows)
      native.rmsNormBackward(plainKey, parts.keyNorm, epsilon, rows, keyGradient, keyGradient)
    }
    hooks.projection?.('self_attn.q_proj', attentionInput, queryGradient, tokens)
    hooks.projection?.('self_attn.k_proj', attentionInput, keyGradient, tokens)
    hooks.projection?.('self_attn.v_proj', attentionInput, valueGradient, tokens)
    backwardTogether(scratch, tokens, [
      [parts.query, queryGradient],
      [parts.key, keyGradient],
      [parts.value, valueGradient],
    ])
    hooks.norm?.('input_layernorm', hidden, scratch, tokens)
    native.rmsNormBackward(hidden, parts.attentionNorm, epsilon, tokens, scratch, scratch)
    native.addInPlace(gradient, scratch)
  }

  #shape(layer: number, tokens: number) {
    const { heads, keyValueHeads, headDimension, attentionWindows } = this.config
    return { tokens, heads, keyValueHeads, headDimension, window: attentionWindows[layer] }
  }

  #buffers(tokens: number): Buffers {
    const { hiddenSize: hidden, intermediateSize: inner, heads, keyValueHeads, headDimension } = this.config
    const queries = heads * headDimension
    const keys = keyValueHeads * headDimension
    const normed = this.config.queryKeyNorm
    const widths: Record<keyof Buffers, number> = {
      attentionInput: hidden,
      mlpInput: hidden,
      middle: hidden,
      scratch: hidden,
      query: queries,
      key: keys,
      value: keys,
      attended: queries,
      queryGradient: queries,
      keyGradient: keys,
      valueGradient: keys,
      gate: inner,
      up: inner,
      gated: inner,
      plainQuery: normed ? queries : 0,
      plainKey: normed ? keys : 0,
    }
    const map = (make: (name: keyof Buffers, width: number) => Float32Array) =>
      Object.fromEntries(
        Object.entries(widths).map(([name, width]) => [name, make(name as keyof Buffers, width)]),
      ) as unknown as Buffers
    if (tokens > this.#capacity) {
      this.#capacity = tokens
      this.#full = map((_, width) => new Float32Array(tokens * width))
    }
    return map((name, width) => this.#full[name].subarray(0, tokens * width))
  }
}

type Pairs = [Projection, Float32Array][]

/** Outputs (tokens x out) of projections that share the input x, which is prepared once where they agree, in `scratch`. */
function forwardTogether(x: Float32Array, scratch: Float32Array, tokens: number, pairs: Pairs): void {
  const prepare = commonPreparation(pairs.map(([projection]) => projection))
  if (prepare !== undefined) {
    scratch.set(x)
    prepare(scratch, tokens)
  }
  for (const [projection, y] of pairs) projection.forward(prepare ? scratch : x, tokens, y, prepare !== undefined)
}

/** `out`: the gradient at the input that projections share, from those at their outputs. */
function backwardTogether(out: Float32Array, tokens: number, pairs: Pairs): void {
  const rotation = commonRotation(pairs.map(([projection]) => projection))
  for (const [i, [projection, gradient]] of pairs.entries()) {
    projection.linear.backward(gradient, tokens, out, rotation !== undefined, i > 0)
  }
  rotation?.apply(out, tokens, true)
}
