// A model of random weights that reads text as models/tales does: for tests that quantize many times and care about bytes, not
// about what the model says.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { randomTensors, tinyConfig, withCheckpoint } from '../model/tiny-checkpoint.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))

/** Calls `action` with the folder of a model of three blocks, which is gone afterwards. */
export async function withSmallModel(action: (model: string) => Promise<void>): Promise<void> {
  const config = { ...tinyConfig, vocab_size: 2048, hidden_size: 72, intermediate_size: 100 }
  await withCheckpoint(config, randomTensors(config, 5), async model => {
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(tales, name), join(model, name))
    await action(model)
  })
}
