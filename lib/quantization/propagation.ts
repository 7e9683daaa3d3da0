/**
 * Takes the calibration text through two models side by side, the original and the model as quantized so far, from one input
 * of linear layers to the next, and gathers there what rounding needs to know. In memory are one block's weights, the moments
 * of one input, and hidden states as far as their store keeps them.
 */
import type { ModelSource } from '../checkpoint/model-source.js'
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { DriftMoment } from '../linear/drift.js'
import { Hessian } from '../linear/hessian.js'
import { Block, type BlockPass, type LinearInput, linearInputs, weightsFedBy } from '../model/block.js'
import { EmbeddingAndHead } from '../model/embedding-and-head.js'
import { Workspace } from '../model/workspace.js'
import type { ActivationSpace, ActivationStore } from './activation-store.js'

/** Steps of a block, each of which takes all windows through a part of it: to its inputs, and to its end. */
export const STEPS = linearInputs.length + 1

/** What the linear layers that share an input see in the calibration text. */
export interface InputMoments {
  /** Of the inputs z: in the quantized model, or in the original when that is all there is. */
  hessian: Hessian
  /** E[(x - z) z^T], x the inputs in the original model. */
  drift?: DriftMoment
  /** E[(r - s) z^T] of the residual streams that the layers add their output to, in the original model and in the quantized. */
  residualDrift?: DriftMoment
}

export interface PropagationOptions {
  /** For what the models keep between steps. */
  space: ActivationSpace
  /**
   * What a weight has become in the quantized model, undefined where it stays as it is; asked for when it is first used.
   * Without it, only the original model runs.
   */
  quantizedWeights?: (name: string) => Promise<StoredWeights | undefined>
  /** Makes a Hessian of inputs of this width. Default: on the processor. */
  newHessian?: (width: number) => Hessian
  /** Called before each window's part of a step of a block; may throw. */
  onWindow: (layer: number) => void
  signal?: AbortSignal
}

export class Propagation {
  #layer = -1
  /** Steps of the block that are done. */
  #steps = STEPS

  private constructor(
    private readonly source: ModelSource,
    private readonly windows: number,
    private readonly original: Stream,
    private readonly quantized: Stream | undefined,
    private readonly options: PropagationOptions,
  ) {}

  /** @param windows of token ids, read independently of each other. */
  static async start(source: ModelSource, windows: Int32Array[], options: PropagationOptions): Promise<Propagation> {
    const begin = async (name: string, ends: EmbeddingAndHead) => {
      const stream = new Stream(source, name, windows, options.space)
      for (const [i, ids] of windows.entries()) await stream.begin(i, ends.embed(ids))
      return stream
    }
    const ends = await EmbeddingAndHead.load(source, options.signal)
    const original = await begin('original', ends)
    if (options.quantizedWeights === undefined)
      return new Propagation(source, windows.length, original, undefined, options)
    const embedding = await options.quantizedWeights('model.embed_tokens.weight')
    const quantized = await begin('quantized', embedding ? ends.withEmbedding(embedding) : ends)
    return new Propagation(source, windows.length, original, quantized, options)
  }

  /** Takes the models to an input of a block, which must lie behind the last, and returns its moments. */
  async advance(layer: number, input: LinearInput): Promise<InputMoments> {
    while (this.#layer < layer) {
      while (this.#steps < STEPS) await this.#step()
      this.#layer++
      this.#steps = 0
      const block = await Block.load(this.source, this.#layer, this.options.signal)
      this.original.block = block
      if (this.quantized) this.quantized.block = block
    }
    while (this.#steps < linearInputs.indexOf(input)) await this.#step()
    let moments: InputMoments | undefined
    await this.#step((original, quantized) => {
      moments ??= this.#newMoments(input, original, quantized)
      addTo(moments, original, quantized)
    })
    return moments!
  }

  /** Takes all windows through the next step, in the quantized model with what became of the layers before it. */
  async #step(visit?: (original: Position, quantized?: Position) => void): Promise<void> {
    if (this.#steps > 0) await this.#replaceWeights(linearInputs[this.#steps - 1])
    const input: LinearInput | undefined = linearInputs[this.#steps]
    for (let i = 0; i < this.windows; i++) {
      this.options.onWindow(this.#layer)
      const original = await this.original.advance(i, input)
      const quantized = await this.quantized?.advance(i, input)
      visit?.(original, quantized)
    }
    this.#steps++
  }

  #newMoments(input: LinearInput, original: Position, quantized?: Position): InputMoments {
    const width = original.input.length / original.tokens
    const residualWidth = original.residual.length / original.tokens
    const hessian = this.options.newHessian?.(width) ?? new Hessian(width)
    if (quantized === undefined) return { hessian }
    const drift = new DriftMoment(width, width)
    return addsToResidual(input)
      ? { hessian, drift, residualDrift: new DriftMoment(residualWidth, width) }
      : { hessian, drift }
  }

  async #replaceWeights(input: LinearInput): Promise<void> {
    if (this.quantized === undefined) return
    const replaced = new Map<string, StoredWeights>()
    for (const name of weightsFedBy(this.#layer, input)) {
      const stored = await this.options.quantizedWeights?.(name)
      if (stored !== undefined) replaced.set(name, stored)
    }
    this.quantized.block = this.quantized.block.withWeights(replaced)
  }
}

function addTo({ hessian, drift, residualDrift }: InputMoments, original: Position, quantized?: Position): void {
  const { tokens, input } = quantized ?? original
  hessian.add(input, tokens)
  if (quantized === undefined) return
  drift?.add(original.input, input, input, tokens)
  residualDrift?.add(original.residual, quantized.residual, input, tokens)
}

/** Whether the layers with this input add their output to the residual stream. */
function addsToResidual(input: LinearInput): boolean {
  return input === 'attentionOutput' || input === 'mlpDown'
}

/** One model's hidden states of all windows, and the part of a block that runs on them. */
class Stream {
  /** The block at hand, with the weights that it has so far. */
  block!: Block
  readonly #residuals: ActivationStore
  /** Inputs of o and down, from the step that computes them to the one that uses them. */
  readonly #branches: ActivationStore
  readonly #passes: BlockPass[]
  readonly #residual: Float32Array

  constructor(source: ModelSource, name: string, windows: Int32Array[], space: ActivationSpace) {
    const { hiddenSize, intermediateSize, heads, headDimension } = source.config
    const lengths = windows.map(ids => ids.length)
    const branchWidth = Math.max(heads * headDimension, intermediateSize)
    const workspace = new Workspace(source.config)
    this.#residuals = space.store(`${name}-residuals`, scaled(lengths, hiddenSize))
    this.#branches = space.store(`${name}-branches`, scaled(lengths, branchWidth))
    this.#passes = lengths.map(tokens => ({ tokens, workspace }))
    this.#residual = new Float32Array(Math.max(...lengths) * hiddenSize)
  }

  /** Hidden states in front of the first block. */
  begin(window: number, hidden: Float32Array): Promise<void> {
    return this.#residuals.write(window, hidden)
  }

  /** Takes a window to the next input, or, without one, to the end of the block. What it returns is valid until the next call. */
  async advance(window: number, input?: LinearInput): Promise<Position> {
    const { block } = this
    const pass = this.#passes[window]
    const { tokens, workspace } = pass
    const residual = await this.#residuals.borrow(window, this.#residual.subarray(0, tokens * block.config.hiddenSize))
    const position = (values = residual.subarray(0, 0)): Position => ({ tokens, residual, input: values })
    switch (input) {
      case 'attention':
        return position(block.attentionInput(residual, pass))
      case 'attentionOutput':
        return position(await this.#keep(window, block.attend(block.attentionInput(residual, pass), pass)))
      case 'mlp':
        block.addAttention(residual, await this.#branches.borrow(window, workspace.buffers(tokens).attended), pass)
        await this.#residuals.write(window, residual)
        return position(block.mlpInput(residual, pass))
      case 'mlpDown':
        return position(await this.#keep(window, block.gate(block.mlpInput(residual, pass), pass)))
      case undefined:
        block.addMlp(residual, await this.#branches.borrow(window, workspace.buffers(tokens).gate), pass)
        await this.#residuals.write(window, residual)
        return position()
    }
  }

  async #keep(window: number, branch: Float32Array): Promise<Float32Array> {
    await this.#branches.write(window, branch)
    return branch
  }
}

/** Where a stream is in a window. */
interface Position {
  tokens: number
  /** tokens x hidden. */
  residual: Float32Array
  /** tokens x width of the input; empty at the end of a block. */
  input: Float32Array
}

const scaled = (values: number[], factor: number): number[] => values.map(value => value * factor)
