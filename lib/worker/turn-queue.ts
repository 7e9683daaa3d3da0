/** Callers take turns, first come first served. */
import { abortedError } from './job.js'

export class TurnQueue {
  #last: Promise<void> = Promise.resolve()

  /** Waits for the turn and returns the function that ends it. Throws ABORTED at once when `signal` fires first. */
  async take(signal?: AbortSignal): Promise<() => void> {
    const previous = this.#last
    let end!: () => void
    const own = new Promise<void>(resolve => {
      end = resolve
    })
    this.#last = previous.then(() => own)
    try {
      await unlessAborted(previous, signal)
      return end
    } catch (error) {
      end()
      throw error
    }
  }
}

/** `promise`, which never rejects, or ABORTED if the signal fires first. */
function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedError(signal.reason))
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    void promise.then(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
}
