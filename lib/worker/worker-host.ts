/**
 * The caller's side of a worker thread: starts it, calls jobs in it, cancels them through a shared word that the busy
 * thread polls, and turns its death into an error of every pending call. An idle worker does not keep the process alive.
 */
import { Worker } from 'node:worker_threads'
import { PyramidionError } from '../errors.js'
import { abortedError, type Progress } from './job.js'
import { type FromWorker, revivedError, type ToWorker } from './messages.js'

export interface CallOptions {
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
}

interface PendingCall {
  resolve(value: unknown): void
  reject(error: unknown): void
  cancel(): void
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
  onPiece?: (piece: unknown) => void
}

export class WorkerHost {
  readonly #worker: Worker
  readonly #pending = new Map<number, PendingCall>()
  #calls = 0
  /** Why no further call can be made. */
  #ended?: PyramidionError

  constructor() {
    // No flag of this process (a loader, --input-type) is meant for the thread: it runs plain modules of this library.
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [], name: 'pyramidion' })
    this.#worker.unref()
    this.#worker.on('message', (message: FromWorker) => this.#receive(message))
    this.#worker.on('error', error => this.#fail(`the worker thread failed: ${error.message}`, error))
    this.#worker.on('exit', code => this.#fail(`the worker thread ended unexpectedly, exit code ${code}`))
  }

  /**
   * Calls the function `name` that `module` exports, see job.ts. An aborted call settles, with ABORTED, when the job has
   * stopped and cleaned up.
   */
  call<Result>(
    module: URL,
    name: string,
    payload: unknown,
    { signal, onProgress, onPiece }: CallOptions & { onPiece?: (piece: never) => void } = {},
  ): Promise<Result> {
    if (this.#ended) return Promise.reject(this.#ended)
    if (signal?.aborted) return Promise.reject(abortedError(signal.reason))
    const id = this.#calls++
    const words = new Int32Array(new SharedArrayBuffer(8))
    return new Promise<Result>((resolve, reject) => {
      const cancel = () => {
        Atomics.store(words, 0, 1)
        this.#send({ kind: 'cancel', id })
      }
      signal?.addEventListener('abort', cancel, { once: true })
      this.#pending.set(id, {
        resolve: resolve as (value: unknown) => void,
        reject,
        cancel,
        signal,
        onProgress,
        onPiece: onPiece as ((piece: unknown) => void) | undefined,
      })
      this.#worker.ref()
      try {
        this.#send({ kind: 'call', id, module: module.href, name, payload, control: words.buffer as SharedArrayBuffer })
      } catch (cause) {
        const message = `an argument cannot be passed to the worker thread: ${(cause as Error).message}`
        this.#settle(id)?.reject(new PyramidionError('INVALID_ARGUMENT', message, { cause }))
      }
    })
  }

  /**
   * Like {@link call}, for a job that emits: yields its pieces, returns its result. Leaving the loop cancels the job.
   * `onSettled` is called when the job has ended, which may be long before everything is read.
   */
  async *stream<Piece, Result>(
    module: URL,
    name: string,
    payload: unknown,
    { signal, onProgress, onSettled }: CallOptions & { onSettled?: () => void } = {},
  ): AsyncGenerator<Piece, Result, undefined> {
    const left = new AbortController()
    const pieces: Piece[] = []
    let wake = () => {}
    let settled = false
    const result = this.call<Result>(module, name, payload, {
      signal: signal ? AbortSignal.any([signal, left.signal]) : left.signal,
      onProgress,
      onPiece: (piece: Piece) => {
        pieces.push(piece)
        wake()
      },
    }).finally(() => {
      settled = true
      wake()
      onSettled?.()
    })
    result.catch(() => {}) // Reported by the await below, if anyone is still reading.
    try {
      for (;;) {
        while (pieces.length > 0) yield pieces.shift() as Piece
        if (settled) return await result
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    } finally {
      left.abort()
      await result.catch(() => {})
    }
  }

  /** Cancels what is pending, waits until it has stopped, and ends the thread. Pending and later calls fail: DISPOSED. */
  async dispose(what: string): Promise<void> {
    this.#ended ??= new PyramidionError('DISPOSED', `${what} was disposed`)
    const stopped = [...this.#pending.values()].map(
      call =>
        new Promise<void>(resolve => {
          const { reject } = call
          call.resolve = resolve
          call.reject = () => resolve()
          call.cancel()
          reject(this.#ended as PyramidionError)
        }),
    )
    await Promise.all(stopped)
    await this.#worker.terminate()
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromWorker): void {
    const call = this.#pending.get(message.id)
    if (message.kind === 'progress') this.#report(message.id, message.progress)
    else if (message.kind === 'piece') call?.onPiece?.(message.piece)
    else if (message.kind === 'done') this.#settle(message.id)?.resolve(message.value)
    else {
      const { error } = message
      const aborted = error.code === 'ABORTED' && call?.signal?.aborted
      this.#settle(message.id)?.reject(revivedError(error, aborted ? call.signal?.reason : error.stack))
    }
  }

  /** A callback that throws fails its call, not the process. */
  #report(id: number, progress: Progress): void {
    const call = this.#pending.get(id)
    try {
      call?.onProgress?.(progress)
    } catch (error) {
      call?.cancel()
      this.#settle(id)?.reject(error)
    }
  }

  #settle(id: number): PendingCall | undefined {
    const call = this.#pending.get(id)
    this.#pending.delete(id)
    call?.signal?.removeEventListener('abort', call.cancel)
    if (this.#pending.size === 0) this.#worker.unref()
    return call
  }

  #fail(message: string, cause?: unknown): void {
    this.#ended ??= new PyramidionError('INTERNAL', message, { cause })
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#ended)
  }
}

/** Runs one job, the function `run` that `module` exports, in a worker thread of its own. */
export async function runInWorker<Result>(
  module: URL,
  payload: unknown,
  options: CallOptions & { onPiece?: (piece: never) => void } = {},
): Promise<Result> {
  if (options.signal?.aborted) throw abortedError(options.signal.reason)
  const host = new WorkerHost()
  try {
    return await host.call<Result>(module, 'run', payload, options)
  } finally {
    await host.dispose('the worker')
  }
}
