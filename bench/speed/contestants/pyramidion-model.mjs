// A whole model in this library: from a prompt to the token behind it, or one token after another, as generate() does it.
import { setImmediate } from 'node:timers/promises'
import { openModel } from '../../../dist/index.js'
import { Llama } from '../../../dist/model/llama.js'
import { Sampler } from '../../../dist/model/sampler.js'
import { native } from '../../../dist/native.js'

export async function prepare({ path, threads, activations, layout }) {
  native.setThreadCount(threads)
  const source = await openModel(path)
  const model = await Llama.load(source, { activations, layout })
  await source.close()
  const cache = model.newCache()
  const sampler = new Sampler()
  const logits = new Float32Array(model.config.vocabularySize)
  const id = i => 260 + (i % 50)
  return {
    bytes: model.bytes,
    action({ phase, tokens }) {
      if (phase === 'prompt') {
        const prompt = Int32Array.from({ length: tokens }, (_, i) => id(i))
        const run = () => {
          cache.clear()
          sampler.sample(model.next(prompt, cache, undefined, logits), new Set())
        }
        return { run, units: tokens }
      }
      cache.clear()
      model.next(
        Int32Array.from({ length: 8 }, (_, i) => id(i)),
        cache,
        undefined,
        logits,
      )
      const run = async () => {
        for (let i = 0; i < tokens; i++) {
          if (cache.length + 1 > 256) cache.clear()
          await setImmediate()
          model.next(Int32Array.of(sampler.sample(logits, new Set())), cache, undefined, logits)
        }
      }
      return { run, units: tokens }
    },
  }
}
