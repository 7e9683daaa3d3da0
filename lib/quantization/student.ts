/**
 * A quantized model that is compared with its original and changed a little: whole in memory in its stored form, with the
 * gradients at what can be refitted of it. Of a window, the inputs of all blocks are kept between the forward and the backward
 * pass.
 */
import type { GraphSource } from '../checkpoint/read-weights.js'
import { Block } from '../model/block.js'
import { BlockGradient } from '../model/block-gradient.js'
import { EmbeddingAndHead } from '../model/embedding-and-head.js'
import { HeadGradient, type Reference } from '../model/head-gradient.js'
import { type Refittable, Refittables } from '../model/refittable.js'
import { Workspace } from '../model/workspace.js'
import type { ActivationSpace, ActivationStore } from './activation-store.js'

export interface StudentOptions {
  /** For the inputs of the blocks. */
  space: ActivationSpace
  /** Tokens of the longest window. */
  longest: number
  signal?: AbortSignal
  /** Called before each block's part of a window; may throw. */
  poll?: () => void
}

export class Student {
  readonly refittables: Refittable[]
  readonly #owners: Refittables[]
  readonly #head: HeadGradient
  readonly #backward: BlockGradient
  readonly #workspace: Workspace
  readonly #inputs: ActivationStore

  private constructor(
    private readonly ends: EmbeddingAndHead,
    private readonly blocks: Block[],
    private readonly options: StudentOptions,
  ) {
    const { config } = ends
    this.#owners = [...blocks.map(block => Refittables.ofBlock(block)), Refittables.ofHead(ends)]
    this.refittables = this.#owners.flatMap(({ all }) => all)
    this.#head = new HeadGradient(ends)
    this.#backward = new BlockGradient(config)
    this.#workspace = new Workspace(config)
    const capacity = options.longest * config.hiddenSize
    this.#inputs = options.space.store('student-inputs', new Array(blocks.length).fill(capacity))
  }

  static async load(source: GraphSource, options: StudentOptions): Promise<Student> {
    const ends = await EmbeddingAndHead.load(source, options.signal)
    const blocks: Block[] = []
    for (let layer = 0; layer < source.config.layers; layer++) {
      blocks.push(await Block.load(source, layer, options.signal))
    }
    return new Student(ends, blocks, options)
  }

  /** Sum over the window of KL(reference || model), in nats. */
  async divergence(ids: Int32Array, reference: Reference): Promise<number> {
    const hidden = await this.#forward(ids)
    return this.#diverge(hidden, ids.length, reference).divergence
  }

  /** The same, its gradients added to those of the refittables. */
  async differentiate(ids: Int32Array, reference: Reference): Promise<number> {
    const tokens = ids.length
    const hidden = await this.#forward(ids)
    const { divergence, gradient } = this.#diverge(hidden, tokens, reference)
    for (const [layer, block] of [...this.blocks.entries()].reverse()) {
      this.options.poll?.()
      await this.#inputs.read(layer, hidden)
      this.#backward.backward(block, hidden, gradient, tokens, this.#owners[layer].hooks)
    }
    return divergence
  }

  /** Sets the gradients of all refittables to zero. */
  clear(): void {
    for (const owner of this.#owners) owner.clear()
  }

  close(): Promise<void> {
    return this.#inputs.close()
  }

  /** Hidden states above the last block. */
  async #forward(ids: Int32Array): Promise<Float32Array> {
    const hidden = this.ends.embed(ids)
    const pass = { tokens: ids.length, workspace: this.#workspace }
    for (const [layer, block] of this.blocks.entries()) {
      this.options.poll?.()
      await this.#inputs.write(layer, hidden)
      block.forward(hidden, pass)
    }
    return hidden
  }

  #diverge(hidden: Float32Array, tokens: number, reference: Reference) {
    const gradient = new Float32Array(hidden.length)
    const hooks = this.#owners[this.blocks.length].hooks
    const divergences = this.#head.distillation(hidden, tokens, reference, gradient, hooks)
    return { divergence: divergences.reduce((sum, value) => sum + value, 0), gradient }
  }
}
