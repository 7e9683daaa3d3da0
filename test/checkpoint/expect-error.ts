// Asserts on the one error class of the library.
import assert from 'node:assert/strict'
import { type ErrorCode, PyramidionError } from '../../dist/errors.js'

/** Fails unless `action` rejects with a PyramidionError of this code whose message matches. */
export async function expectError(action: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(
    async () => action(),
    (error: unknown) => {
      assert.ok(error instanceof PyramidionError, `expected a PyramidionError, got ${error}`)
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
      return true
    },
  )
}

/** Runs an action that may succeed or fail, but only with a PyramidionError that is not a bug's. */
export async function expectSuccessOrCleanError(action: () => Promise<unknown>, what: string): Promise<boolean> {
  try {
    await action()
    return true
  } catch (error) {
    assert.ok(error instanceof PyramidionError, `${what}: expected a PyramidionError, got ${(error as Error)?.stack}`)
    assert.notEqual(error.code, 'INTERNAL', what)
    return false
  }
}
