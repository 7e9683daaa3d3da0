// One window of tokens taken through a model, with the inputs of its blocks kept for a backward pass.
import type { ModelSource } from '../../dist/checkpoint/model-source.js'
import { Block } from '../../dist/model/block.js'
import { EmbeddingAndHead } from '../../dist/model/embedding-and-head.js'
import { Workspace } from '../../dist/model/workspace.js'

export class WindowTrace {
  private constructor(
    readonly ids: Int32Array,
    readonly ends: EmbeddingAndHead,
    readonly blocks: Block[],
    /** Inputs of the blocks, and what leaves the last. */
    readonly hidden: Float32Array[],
  ) {}

  static async run(source: ModelSource, ids: Int32Array): Promise<WindowTrace> {
    const ends = await EmbeddingAndHead.load(source)
    const { config } = source
    const workspace = new Workspace(config)
    const hidden = [ends.embed(ids)]
    const blocks: Block[] = []
    for (let layer = 0; layer < config.layers; layer++) {
      blocks.push(await Block.load(source, layer))
      hidden.push(hidden[layer].slice())
      blocks[layer].forward(hidden[layer + 1], { tokens: ids.length, workspace })
    }
    return new WindowTrace(ids, ends, blocks, hidden)
  }

  get top(): Float32Array {
    return this.hidden[this.blocks.length]
  }
}
