// Jobs for the tests of the worker, in plain JavaScript because the thread runs without a loader.
import { threadId } from 'node:worker_threads'
import { PyramidionError } from '../../dist/errors.js'

let counter = 0

export const thread = () => threadId
export const count = () => ++counter
export const square = values => values.map(value => value * value)
export const wait = ({ milliseconds }) => new Promise(resolve => setTimeout(resolve, milliseconds))

export function failWith({ code, message }) {
  throw code === undefined ? new TypeError(message) : new PyramidionError(code, message)
}

/** Keeps the thread busy, without ever returning to its event loop, until the caller gives up. */
export function spin(_, context) {
  for (;;) context.throwIfAborted()
}

/** Notices an abort only through the signal. */
export function sleep(_, { signal }) {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('woken'))))
}

export function report({ steps }, context) {
  for (let done = 1; done <= steps; done++) context.progress({ done, total: steps, label: 'counting' })
}

export async function emitNumbers({ numbers, milliseconds = 0 }, context) {
  for (let number = 0; number < numbers; number++) {
    context.throwIfAborted()
    context.emit(number)
    await wait({ milliseconds })
  }
  return 'all of them'
}

export const exit = () => process.exit(3)
export const crash = () => {
  setTimeout(() => {
    throw new Error('thrown outside any job')
  })
  return new Promise(() => {})
}
export const run = payload => ({ payload, thread: threadId })
