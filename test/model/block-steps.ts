// The blocks of a model in the steps that calibration stops at.
import type { ModelSource } from '../../dist/checkpoint/model-source.js'
import type { Activations } from '../../dist/linear/activations.js'
import { Block, type LinearInput } from '../../dist/model/block.js'
import { EmbeddingAndHead } from '../../dist/model/embedding-and-head.js'
import { Workspace } from '../../dist/model/workspace.js'

/** Hidden states above the last block; `see` gets the inputs of its linear layers, tokens x width, valid only during the call. */
export async function runInSteps(
  source: ModelSource,
  ids: Int32Array,
  see: (layer: number, input: LinearInput, x: Float32Array) => void,
  activations?: Activations,
): Promise<Float32Array> {
  const pass = { tokens: ids.length, workspace: new Workspace(source.config) }
  const hidden = (await EmbeddingAndHead.load(source)).embed(ids)
  for (let layer = 0; layer < source.config.layers; layer++) {
    const block = await Block.load(source, layer, undefined, activations)
    const seen = (input: LinearInput, x: Float32Array) => {
      see(layer, input, x)
      return x
    }
    const attended = block.attend(seen('attention', block.attentionInput(hidden, pass)), pass)
    block.addAttention(hidden, seen('attentionOutput', attended), pass)
    const gated = block.gate(seen('mlp', block.mlpInput(hidden, pass)), pass)
    block.addMlp(hidden, seen('mlpDown', gated), pass)
  }
  return hidden
}
