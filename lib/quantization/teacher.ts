/** The original model's hidden states above its last block, for some windows: one block in memory at a time. */
import type { GraphSource } from '../checkpoint/read-weights.js'
import { Block } from '../model/block.js'
import { EmbeddingAndHead } from '../model/embedding-and-head.js'
import type { Reference } from '../model/head-gradient.js'
import { Workspace } from '../model/workspace.js'
import type { ActivationSpace, ActivationStore } from './activation-store.js'

export interface TeacherOptions {
  space: ActivationSpace
  signal?: AbortSignal
  /** Called before each window's pass through a block, with the number of passes done; may throw. */
  onPass?: (done: number) => void
}

export class Teacher {
  private constructor(
    private readonly ends: EmbeddingAndHead,
    private readonly hidden: ActivationStore,
  ) {}

  static async read(source: GraphSource, windows: Int32Array[], options: TeacherOptions): Promise<Teacher> {
    const { config } = source
    const { space, signal, onPass } = options
    const ends = await EmbeddingAndHead.load(source, signal)
    const hidden = space.store(
      'teacher-hidden',
      windows.map(window => window.length * config.hiddenSize),
    )
    const workspace = new Workspace(config)
    for (const [i, window] of windows.entries()) await hidden.write(i, ends.embed(window))
    for (let layer = 0; layer < config.layers; layer++) {
      const block = await Block.load(source, layer, signal)
      for (const [i, { length }] of windows.entries()) {
        onPass?.(layer * windows.length + i)
        const x = await hidden.read(i)
        block.forward(x, { tokens: length, workspace })
        await hidden.write(i, x)
      }
    }
    return new Teacher(ends, hidden)
  }

  /** @param window number of one that was read. */
  async reference(window: number): Promise<Reference> {
    return { ends: this.ends, hidden: await this.hidden.read(window) }
  }

  close(): Promise<void> {
    return this.hidden.close()
  }
}
