import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { TurnQueue } from '../../dist/worker/turn-queue.js'

describe('a turn queue', () => {
  it('lets one in at a time, first come first served', async () => {
    const queue = new TurnQueue()
    const log: string[] = []
    await Promise.all(
      ['a', 'b', 'c'].map(async name => {
        const end = await queue.take()
        log.push(`${name} in`)
        await delay(2)
        log.push(`${name} out`)
        end()
      }),
    )
    assert.deepEqual(log, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out'])
  })

  it('lets a waiting caller go at once when its signal fires, and the next one in when the turn comes', async () => {
    const queue = new TurnQueue()
    const end = await queue.take()
    const controller = new AbortController()
    const leaving = queue.take(controller.signal)
    const next = queue.take()
    controller.abort()
    await assert.rejects(leaving, { code: 'ABORTED' })
    let entered = false
    void next.then(() => {
      entered = true
    })
    await delay(5)
    assert.equal(entered, false)
    end()
    await next
  })

  it('turns a caller away whose signal has fired', async () => {
    const queue = new TurnQueue()
    await assert.rejects(queue.take(AbortSignal.abort()), { code: 'ABORTED' })
    const end = await queue.take()
    end()
  })
})
