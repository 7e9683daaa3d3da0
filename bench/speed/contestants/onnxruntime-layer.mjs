// The same product by onnxruntime: MatMulNBits (blocks of 32 weights, accuracy level 4: inputs rounded to int8), or MatMul in
// single precision, which is its BLAS (MLAS).
import { createRequire } from 'node:module'
import { coldCopies, rotating } from '../caches.mjs'
import { linearModel } from '../onnx-model.mjs'
import { gaussians } from '../random-weights.mjs'

export async function prepare({ rows, columns, bits, threads, cold }) {
  const { InferenceSession, Tensor } = createRequire(new URL('../../package.json', import.meta.url))('onnxruntime-node')
  const { model, weightBytes } = linearModel(rows, columns, bits)
  const make = () =>
    InferenceSession.create(model, { intraOpNumThreads: threads, interOpNumThreads: 1, executionProviders: ['cpu'] })
  const copies = [await make()]
  if (cold) while (copies.length < coldCopies(weightBytes)) copies.push(await make())
  return {
    bits: (8 * weightBytes) / (rows * columns),
    action({ tokens, cold }) {
      const feeds = { x: new Tensor('float32', gaussians(tokens * columns, 2), [tokens, columns]) }
      // Where y goes, so that no time is spent on memory for it.
      const fetches = { y: new Tensor('float32', new Float32Array(tokens * rows), [tokens, rows]) }
      const next = rotating(copies, cold)
      const run = async () => {
        await next().run(feeds, fetches)
      }
      return { run, units: rows * columns * tokens }
    },
  }
}
