/**
 * How much the model's loss depends on each linear layer, measured on calibration text by one backward pass: labels are drawn
 * from the model itself, so that the squared gradients are those of the Fisher information and no text is taken as true. The
 * forward pass keeps the input of every block; the backward pass goes from the last block to the first with the weights and
 * statistics of one block in memory, and can be interrupted after any of them.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { ModelSource } from '../checkpoint/model-source.js'
import { Hessian } from '../linear/hessian.js'
import { Block } from '../model/block.js'
import { BlockGradient } from '../model/block-gradient.js'
import { EmbeddingAndHead } from '../model/embedding-and-head.js'
import { HeadGradient } from '../model/head-gradient.js'
import type { ProjectionName } from '../model/projection-names.js'
import { RandomSource } from '../model/random-source.js'
import { Workspace } from '../model/workspace.js'
import { native } from '../native.js'
import type { Progress } from '../worker/job.js'
import type { ActivationSpace, ActivationStore } from './activation-store.js'
import { type ProjectionMoments, type ProjectionSensitivity, SensitivityFiles } from './sensitivity-files.js'

const WINDOWS = 64
/** A backward pass, its forward pass and its statistics, in forward passes. */
const BACKWARD_COST = 4

export interface SensitivityOptions {
  /**
   * Where the results are kept, a file a block, in a folder of their own for each set of arguments; what a run with the same
   * arguments left there is taken over.
   */
  folder: string
  /** For the hidden states and gradients of all windows. */
  space: ActivationSpace
  /** Of the given windows, at most so many are read, spread evenly: 64 by default. */
  windows?: number
  /** Of the labels. */
  seed: number
  /**
   * Gradients are heavy-tailed: in the first blocks one token of a window can have half of the sum of |g|^2. Those beyond `cap`
   * times the window's median of |g|^2 are scaled down to it; unlimited by default, which keeps the moments exact.
   */
  cap?: number
  /** Whether E[g g^T] is gathered too, out x out doubles a layer; true by default. */
  outputHessians?: boolean
  /** Makes a Hessian of vectors of this width. Default: on the processor. */
  newHessian?: (width: number) => Hessian
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
  /** Called before each window's part of a block; may throw. */
  poll?: () => void
}

/** The result of a sensitivity pass, read from its folder where it is asked for. */
export class Sensitivity {
  private constructor(private readonly files: SensitivityFiles) {}

  /** @param source has passed checkTensors. @param windows of token ids, read independently of each other; not empty. */
  static async measure(source: ModelSource, windows: Int32Array[], options: SensitivityOptions): Promise<Sensitivity> {
    const some = spread(windows, options.windows ?? WINDOWS)
    const fingerprint = fingerprintOf(source, some, options)
    const files = new SensitivityFiles(join(options.folder, fingerprint.slice(0, 16)), fingerprint)
    if (!(await files.complete(source.config.layers))) {
      const measurement = new Measurement(source, some, options, files)
      try {
        await measurement.run()
      } finally {
        await measurement.close()
      }
    }
    await files.removeGradients()
    return new Sensitivity(files)
  }

  of(layer: number, name: ProjectionName): Promise<ProjectionSensitivity> {
    return this.files.readProjection(layer, name)
  }

  /** @param name of a linear layer's weight. */
  ofWeight(name: string): Promise<ProjectionSensitivity> {
    const [, layer, projection] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? []
    return this.of(Number(layer), projection as ProjectionName)
  }

  /** Of each projection of a block, without reading its matrices. */
  squaredGradients(layer: number): Promise<Record<ProjectionName, number>> {
    return this.files.readSquaredGradients(layer)
  }
}

class Measurement {
  readonly #layers: number
  readonly #lengths: number[]
  /** Inputs of the blocks, as far as they are still needed. */
  readonly #hidden: ActivationStore[] = []
  /** At the output of the block that comes next. */
  readonly #gradients: ActivationStore
  /** One window's hidden states and gradients: new arrays for each would keep the garbage collector busy. */
  readonly #hiddenBuffer: Float32Array
  readonly #gradientBuffer: Float32Array
  #done = 0
  #total = 0

  constructor(
    private readonly source: ModelSource,
    private readonly windows: Int32Array[],
    private readonly options: SensitivityOptions,
    private readonly files: SensitivityFiles,
  ) {
    const { layers, hiddenSize } = source.config
    this.#layers = layers
    this.#lengths = windows.map(window => window.length * hiddenSize)
    const longest = Math.max(...this.#lengths)
    this.#hiddenBuffer = new Float32Array(longest)
    this.#gradientBuffer = new Float32Array(longest)
    this.#gradients = options.space.store('sensitivity-gradients', this.#lengths)
  }

  async run(): Promise<void> {
    const kept = await this.files.readGradients(this.#gradients)
    const top = kept ?? this.#layers - 1
    this.#total = this.windows.length * (top + BACKWARD_COST * (top + 1))
    await this.#forward(top, kept === undefined)
    const backward = new BlockGradient(this.source.config)
    for (let layer = top; layer >= 0; layer--) {
      await this.files.writeBlock(layer, await this.#backward(layer, backward))
      if (layer > 0) await this.files.writeGradients(layer - 1, this.#gradients)
    }
  }

  async close(): Promise<void> {
    for (const store of [...this.#hidden, this.#gradients]) await store.close()
  }

  /** Inputs of the blocks up to `top`; and from the output of the last, when it is the top, the gradients there. */
  async #forward(top: number, withHead: boolean): Promise<void> {
    const { source, windows } = this
    const { signal } = this.options
    const ends = await EmbeddingAndHead.load(source, signal)
    const workspace = new Workspace(source.config)
    await this.#eachWindow(this.#newHidden(), ({ window, store }) => store.write(window, ends.embed(windows[window])))
    for (let layer = 0; layer < top; layer++) {
      const block = await Block.load(source, layer, signal)
      await this.#eachWindow(this.#newHidden(), async ({ window, store }) => {
        const hidden = await this.#read(this.#hidden[layer], window, this.#hiddenBuffer)
        block.forward(hidden, { tokens: windows[window].length, workspace })
        await store.write(window, hidden)
        this.#advance(1, `reading block ${layer}`)
      })
    }
    if (!withHead) return
    const block = await Block.load(source, top, signal)
    const head = new HeadGradient(ends)
    await this.#eachWindow(this.#gradients, async ({ window, store }) => {
      const hidden = await this.#read(this.#hidden[top], window, this.#hiddenBuffer)
      const tokens = windows[window].length
      block.forward(hidden, { tokens, workspace })
      const gradient = this.#gradientBuffer.subarray(0, hidden.length)
      head.sampledLabels(hidden, tokens, new RandomSource(this.options.seed + window), gradient)
      await store.write(window, gradient)
    })
  }

  /** Takes the gradients of all windows through a block, and returns what its layers saw. */
  async #backward(layer: number, backward: BlockGradient): Promise<ReadonlyMap<ProjectionName, ProjectionMoments>> {
    const block = await Block.load(this.source, layer, this.options.signal)
    const moments = new Map<ProjectionName, ProjectionMoments>()
    const { outputHessians = true, cap, newHessian = width => new Hessian(width) } = this.options
    await this.#eachWindow(this.#gradients, async ({ window, store }) => {
      const length = this.#lengths[window]
      const hidden = await this.#hidden[layer].borrow(window, this.#hiddenBuffer.subarray(0, length))
      const gradient = await store.borrow(window, this.#gradientBuffer.subarray(0, length))
      backward.backward(block, hidden, gradient, this.windows[window].length, {
        projection(name, x, g, tokens) {
          const width = g.length / tokens
          const seen = moments.get(name) ?? {
            input: newHessian(x.length / tokens),
            output: outputHessians ? newHessian(width) : undefined,
            squaredGradient: 0,
          }
          moments.set(name, seen)
          const squares = new Float32Array(tokens)
          native.rowSquaredNorms(g, width, squares)
          const limit = cap === undefined ? Number.POSITIVE_INFINITY : cap * medianOf(squares)
          const capped = squares.map(square => Math.min(square, limit))
          seen.squaredGradient += capped.reduce((sum, square) => sum + square, 0)
          seen.input.add(x, tokens, capped)
          seen.output?.add(
            g,
            tokens,
            capped.map((square, t) => (square < squares[t] ? square / squares[t] : 1)),
          )
        },
      })
      await store.write(window, gradient)
      this.#advance(BACKWARD_COST, `sensitivity of block ${layer}`)
    })
    await this.#hidden[layer].close()
    for (const seen of moments.values()) seen.squaredGradient /= seen.input.tokens
    return moments
  }

  async #eachWindow(
    store: ActivationStore,
    step: (turn: { window: number; store: ActivationStore }) => Promise<void>,
  ): Promise<void> {
    for (let window = 0; window < this.windows.length; window++) {
      this.options.poll?.()
      await step({ window, store })
    }
  }

  #read(store: ActivationStore, window: number, buffer: Float32Array): Promise<Float32Array> {
    return store.read(window, buffer.subarray(0, this.#lengths[window]))
  }

  #newHidden(): ActivationStore {
    const store = this.options.space.store(`sensitivity-hidden-${this.#hidden.length}`, this.#lengths)
    this.#hidden.push(store)
    return store
  }

  #advance(cost: number, label: string): void {
    this.#done += cost
    this.options.onProgress?.({ done: this.#done, total: this.#total, label })
  }
}

function medianOf(values: Float32Array): number {
  return values.slice().sort()[values.length >> 1]
}

function spread<T>(items: T[], most: number): T[] {
  if (items.length <= most) return items
  return Array.from({ length: most }, (_, i) => items[Math.floor((i * items.length) / most)])
}

function fingerprintOf(source: ModelSource, windows: Int32Array[], options: SensitivityOptions): string {
  const { seed, outputHessians = true, cap = null } = options
  const hash = createHash('sha256')
  const lengths = windows.map(window => window.length)
  hash.update(JSON.stringify({ version: 2, source: source.fingerprint, seed, outputHessians, cap, lengths }))
  for (const window of windows) hash.update(window)
  return hash.digest('hex')
}
