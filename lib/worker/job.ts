/**
 * What a job running in a worker thread sees of its caller: a signal, progress, a way to send pieces of its answer early.
 * A job is an exported function of a module, `(payload, context) => result`; payload and result are structured clones.
 */
import { PyramidionError } from '../errors.js'
import type { JobControl } from '../native.js'

/** How much is done, of how much, and what it is at. */
export interface Progress {
  done: number
  total: number
  label?: string
}

export interface JobContext {
  /** Aborted when the caller gives up; for asynchronous steps. */
  readonly signal: AbortSignal
  /** The same for native jobs: word 0 becomes non-zero. */
  readonly control: JobControl
  /** Throws ABORTED once the caller gave up. Cheap, and sees it while the thread is too busy for {@link signal}. */
  throwIfAborted(): void
  /** Reaches the caller at most 20 times a second; the last report (done = total) always does. */
  progress(progress: Progress): void
  /** Sends a piece of the answer ahead of the result. */
  emit(piece: unknown): void
}

/** A typed array that is the whole result moves to the caller instead of being copied: it must own its buffer. */
export type Job = (payload: never, context: JobContext) => unknown

/** The error of a call whose AbortSignal fired. */
export function abortedError(reason?: unknown): PyramidionError {
  return new PyramidionError('ABORTED', 'the operation was aborted', { cause: reason })
}

const PROGRESS_INTERVAL = 50

/** Passes reports on at most 20 times a second, and the last one always. */
export function throttled(report: (progress: Progress) => void): (progress: Progress) => void {
  let last = Number.NEGATIVE_INFINITY
  return progress => {
    const now = performance.now()
    if (now - last < PROGRESS_INTERVAL && progress.done < progress.total) return
    last = now
    report(progress)
  }
}
