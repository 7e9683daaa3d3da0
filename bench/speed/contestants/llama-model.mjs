// A whole model in llama.cpp, by node-llama-cpp: from a prompt to the token behind it, or one token after another. With
// `multiplications`, the model stands for its linear layers: { each, last }, of each token and of the last one besides, since llama.cpp
// does only that one in the parts of the last block that no other token depends on.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

export async function prepare({ path, threads, multiplications }) {
  const entry = createRequire(new URL('../../package.json', import.meta.url)).resolve('node-llama-cpp')
  const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry))
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  })
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 })
  const context = await model.createContext({
    contextSize: 640,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
  })
  const sequence = context.getSequence()
  const options = { temperature: 0, yieldEogToken: true }
  const id = i => 260 + (i % 50)
  return {
    bytes: model.size,
    action({ phase, tokens }) {
      const prompt = Array.from({ length: tokens }, (_, i) => id(i))
      if (phase !== 'decode') {
        const run = async () => {
          await sequence.clearHistory()
          for await (const _ of sequence.evaluate(prompt, options)) break
        }
        return { run, units: multiplications ? tokens * multiplications.each + multiplications.last : tokens }
      }
      const run = async () => {
        if (sequence.nextTokenIndex + tokens > 256) await sequence.clearHistory()
        let left = tokens
        for await (const _ of sequence.evaluate([id(left)], options)) if (--left === 0) break
      }
      return { run, units: tokens }
    },
  }
}
