/**
 * The entry of a worker thread. It knows no job: a call names a module of this library and the function it exports. Calls
 * start as they arrive; a caller that wants one at a time waits for its turn (turn-queue.ts).
 */
import { parentPort } from 'node:worker_threads'
import { PyramidionError } from '../errors.js'
import { abortedError, type Job, type JobContext, throttled } from './job.js'
import { type CallMessage, type FromWorker, plainError, type ToWorker } from './messages.js'

if (parentPort === null) throw new PyramidionError('INTERNAL', 'worker.js was not started as a worker thread')
const port = parentPort
const running = new Map<number, AbortController>()

const send = (message: FromWorker, transfer?: ArrayBuffer[]) => port.postMessage(message, transfer)

async function run({ id, module, name, payload, control }: CallMessage): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  const words = new Int32Array(control)
  const context: JobContext = {
    signal: controller.signal,
    control: words,
    throwIfAborted() {
      if (Atomics.load(words, 0) === 0) return
      controller.abort()
      throw abortedError()
    },
    progress: throttled(progress => send({ kind: 'progress', id, progress })),
    emit: piece => send({ kind: 'piece', id, piece }),
  }
  try {
    const jobs = (await import(module)) as Record<string, Job>
    context.throwIfAborted()
    const value = await jobs[name](payload as never, context)
    send({ kind: 'done', id, value }, ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : undefined)
  } catch (error) {
    // A step may fail in its own way because the signal stopped it.
    send({ kind: 'failed', id, error: plainError(controller.signal.aborted ? abortedError() : error) })
  } finally {
    running.delete(id)
  }
}

port.on('message', (message: ToWorker) => {
  if (message.kind === 'call') void run(message)
  else running.get(message.id)?.abort()
})
