// Ends worker threads in the middle of calls to the addon, again and again; run in a process of its own, which must live.
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { native } from '../../dist/native.js'

if (isMainThread) {
  for (let round = 0; round < 80; round++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { execArgv: [] })
    await new Promise(resolve => worker.once('message', resolve))
    await new Promise(resolve => setTimeout(resolve, round % 16))
    await worker.terminate()
  }
  console.log('alive')
} else {
  const values = new Float32Array(64 * 64).fill(0.01)
  const x = new Float32Array(64)
  const weights = { format: 'f32', rows: 64, columns: 64, data: new Uint8Array(values.buffer) }
  parentPort?.postMessage('busy')
  for (;;) {
    const linear = new native.Linear({ weights })
    linear.forward(x, 1, x.slice(), false)
    native.logitStatistics(values, values, new Int32Array(64), 64, 64)
    native.pvqGainLevels(8, 6, 2, 64)
    try {
      native.pvqCount(3, 1)
    } catch {
      // 3 is no power of two: an error is thrown, perhaps into a thread that is ending.
    }
  }
}
