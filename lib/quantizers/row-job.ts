/** Ties a native job that works row by row to an AbortSignal and a progress callback. */
import { PyramidionError } from '../errors.js'
import type { JobControl } from '../native.js'
import type { EncodeOptions } from './quantizer.js'

/** Milliseconds between two reports of progress: 20 a second. */
const REPORT_INTERVAL = 50

/** Throws ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new PyramidionError('ABORTED', 'the operation was aborted', { cause: signal.reason })
}

/**
 * Runs `start` with shared words that the signal sets and the job counts in. `start` rejects with ABORTED when it saw the
 * request to stop.
 */
export async function runRows<T>(
  total: number,
  { signal, onProgress }: EncodeOptions,
  start: (control: JobControl) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal)
  const control: JobControl = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
  const cancel = () => Atomics.store(control, 0, 1)
  signal?.addEventListener('abort', cancel, { once: true })
  const timer = onProgress && setInterval(() => onProgress({ done: Atomics.load(control, 1), total }), REPORT_INTERVAL)
  try {
    const result = await start(control)
    throwIfAborted(signal)
    onProgress?.({ done: total, total })
    return result
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', cancel)
  }
}
