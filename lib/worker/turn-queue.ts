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
    let onAbort: (() => void) | undefined
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(abortedError(signal?.reason))
      if (signal?.aborted) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
    })
    try {
      await Promise.race([aborted, previous])
      return end
    } catch (error) {
      end()
      throw error
    } finally {
      if (onAbort) signal?.removeEventListener('abort', onAbort)
    }
  }
}
