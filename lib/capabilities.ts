/** What the machine offers, what the addon chose from it, and how many threads it may use. */
import { type Capabilities, native } from './native.js'
import { checkInteger } from './quantizers/matrix-values.js'

/** The processor's extensions that the addon knows, and the kernels in use. */
export function capabilities(): Capabilities {
  return native.capabilities()
}

/** Threads that all work of this process shares, 1 to 1024. Default: every core it may use. */
export function setThreadCount(count: number): void {
  checkInteger('count', count, 1, 1024)
  native.setThreadCount(count)
}
