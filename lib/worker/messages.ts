/** What goes between a WorkerHost and its thread, and how an error travels without losing its code. */
import { type ErrorCode, PyramidionError } from '../errors.js'
import type { Progress } from './job.js'

export interface CallMessage {
  kind: 'call'
  id: number
  /** URL of the module that exports the job. */
  module: string
  name: string
  payload: unknown
  /** Words of a JobControl. */
  control: SharedArrayBuffer
}

export type ToWorker = CallMessage | { kind: 'cancel'; id: number }

export type FromWorker =
  | { kind: 'progress'; id: number; progress: Progress }
  | { kind: 'piece'; id: number; piece: unknown }
  | { kind: 'done'; id: number; value: unknown }
  | { kind: 'failed'; id: number; error: PlainError }

export interface PlainError {
  code: ErrorCode
  message: string
  stack?: string
}

/** An error as a structured clone; what is not a PyramidionError is a bug and becomes INTERNAL. */
export function plainError(error: unknown): PlainError {
  if (error instanceof PyramidionError) return { code: error.code, message: error.message, stack: error.stack }
  const known = error instanceof Error ? error : new Error(String(error))
  return { code: 'INTERNAL', message: `${known.name}: ${known.message}`, stack: known.stack }
}

/** The error in the caller's thread: its stack is the caller's, the cause has the worker's. */
export function revivedError({ code, message, stack }: PlainError, cause: unknown = stack): PyramidionError {
  return new PyramidionError(code, message, { cause })
}
