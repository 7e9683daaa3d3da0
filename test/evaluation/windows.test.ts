import assert from 'node:assert/strict'
import { checkWindowOptions, planWindows, windowTokens } from '../../dist/evaluation/windows.js'

describe('evaluation windows', () => {
  const ids = Int32Array.from({ length: 1100 }, (_, i) => i)

  it('are those of llama.cpp by default: 512 tokens, one behind the other, 255 scored in each', () => {
    const plan = planWindows(1100, 2048, {})
    assert.deepEqual(plan, { window: 512, stride: 512, windows: 2, first: 256, scored: 255 })
    assert.deepEqual(windowTokens(ids, plan, 1, undefined), ids.slice(512, 1024))
  })

  it('put the beginning-of-text token in the place of the first token', () => {
    const plan = planWindows(1100, 2048, { window: 4 })
    assert.deepEqual([...windowTokens(ids, plan, 3, 77)], [77, 13, 14, 15])
    assert.equal(ids[12], 12)
  })

  it('overlap with a stride, and score every later token once when it is half the window', () => {
    const plan = planWindows(1100, 2048, { window: 10, stride: 5 })
    const scored = new Map<number, number>()
    for (let index = 0; index < plan.windows; index++) {
      const tokens = windowTokens(ids, plan, index, undefined)
      for (const target of tokens.slice(plan.first + 1, plan.first + 1 + plan.scored)) {
        scored.set(target, (scored.get(target) ?? 0) + 1)
      }
    }
    // Position window / 2 of a window is never a target: nothing before it is scored.
    for (let token = 6; token < 1100; token++) assert.equal(scored.get(token) ?? 0, token % 5 === 0 ? 0 : 1, `${token}`)
  })

  it('never end beyond the text', () => {
    for (const [tokens, windows] of [
      [512, 1],
      [1023, 1],
      [1024, 2],
    ]) {
      assert.equal(planWindows(tokens, 2048, {}).windows, windows)
    }
    assert.equal(planWindows(20, 2048, { window: 8, stride: 3 }).windows, 5)
    assert.equal(planWindows(1100, 2048, { window: 11 }).scored, 5)
  })

  it('are no more than asked for', () => {
    assert.equal(planWindows(100_000, 2048, { windows: 48 }).windows, 48)
    assert.equal(planWindows(1100, 2048, { windows: 48 }).windows, 2)
  })

  it('refuse a text that is too short and a window beyond the context, with the numbers', () => {
    assert.throws(() => planWindows(511, 2048, {}), {
      code: 'INVALID_ARGUMENT',
      message: /at least 512 tokens.*got 511/,
    })
    assert.throws(() => planWindows(5000, 256, {}), { code: 'INVALID_ARGUMENT', message: /at most 256.*got 512/ })
  })

  it('refuse sizes that are no whole numbers, or too small', () => {
    for (const options of [{ window: 3 }, { window: 4.5 }, { stride: 0 }, { windows: 0 }, { window: Number.NaN }]) {
      const name = Object.keys(options)[0]
      assert.throws(() => checkWindowOptions(options), {
        code: 'INVALID_ARGUMENT',
        message: new RegExp(`^${name} must`),
      })
    }
  })
})
