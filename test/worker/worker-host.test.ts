import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { threadId } from 'node:worker_threads'
import { PyramidionError } from '../../dist/errors.js'
import type { Progress } from '../../dist/worker/job.js'
import { runInWorker, WorkerHost } from '../../dist/worker/worker-host.js'

const jobs = new URL('./jobs.mjs', import.meta.url)

describe('a worker', () => {
  let host: WorkerHost
  beforeEach(() => {
    host = new WorkerHost()
  })
  afterEach(() => host.dispose('the worker'))

  it('runs jobs in a thread of its own, whose modules keep their state', async () => {
    assert.notEqual(await host.call(jobs, 'thread', null), threadId)
    assert.equal(await host.call(jobs, 'count', null), 1)
    assert.equal(await host.call(jobs, 'count', null), 2)
  })

  it('passes typed arrays both ways', async () => {
    assert.deepEqual(await host.call(jobs, 'square', Float32Array.of(1, 2, 3)), Float32Array.of(1, 4, 9))
  })

  it('keeps code and message of an error, with the stack of the thread as its cause', async () => {
    const call = host.call(jobs, 'failWith', { code: 'NOT_FINITE', message: 'values[3] is NaN' })
    const error = await call.then(
      () => assert.fail(),
      error => error,
    )
    assert.ok(error instanceof PyramidionError)
    assert.equal(error.code, 'NOT_FINITE')
    assert.equal(error.message, 'values[3] is NaN')
    assert.match(String(error.cause), /failWith.*jobs\.mjs/s)
  })

  it('reports anything else that is thrown as INTERNAL', async () => {
    await assert.rejects(host.call(jobs, 'failWith', { message: 'oops' }), {
      code: 'INTERNAL',
      message: /TypeError: oops/,
    })
    await assert.rejects(host.call(jobs, 'missing', null), { code: 'INTERNAL' })
  })

  it('refuses an argument that cannot be cloned and goes on', async () => {
    await assert.rejects(
      host.call(jobs, 'square', () => {}),
      { code: 'INVALID_ARGUMENT' },
    )
    assert.equal(await host.call(jobs, 'count', null), 1)
  })

  it('stops a job that never returns to its event loop when the signal fires', async () => {
    const controller = new AbortController()
    const call = host.call(jobs, 'spin', null, { signal: controller.signal })
    setTimeout(() => controller.abort('enough'), 50)
    await assert.rejects(call, (error: PyramidionError) => error.code === 'ABORTED' && error.cause === 'enough')
    assert.equal(await host.call(jobs, 'count', null), 1)
  })

  it('stops a job that waits for something asynchronous when the signal fires', async () => {
    const controller = new AbortController()
    const call = host.call(jobs, 'sleep', null, { signal: controller.signal })
    setTimeout(() => controller.abort(), 50)
    await assert.rejects(call, { code: 'ABORTED' })
  })

  it('does not start a job whose signal has fired', async () => {
    await assert.rejects(host.call(jobs, 'count', null, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    assert.equal(await host.call(jobs, 'count', null), 1)
  })

  it('passes few progress reports on when there are many, and always the last', async () => {
    const reports: Progress[] = []
    await host.call(jobs, 'report', { steps: 100_000 }, { onProgress: progress => reports.push(progress) })
    assert.deepEqual(reports.at(-1), { done: 100_000, total: 100_000, label: 'counting' })
    assert.ok(reports.length < 1000, `${reports.length} reports`)
  })

  it('fails the call when the progress callback throws', async () => {
    const onProgress = () => {
      throw new RangeError('from the callback')
    }
    await assert.rejects(host.call(jobs, 'report', { steps: 3 }, { onProgress }), RangeError)
    assert.equal(await host.call(jobs, 'count', null), 1)
  })

  it('streams pieces in order and returns the result', async () => {
    const stream = host.stream<number, string>(jobs, 'emitNumbers', { numbers: 100 })
    const pieces: number[] = []
    let step = await stream.next()
    for (; !step.done; step = await stream.next()) pieces.push(step.value)
    assert.deepEqual(pieces, [...Array(100).keys()])
    assert.equal(step.value, 'all of them')
  })

  it('cancels the job when the reader leaves the stream', async () => {
    for await (const piece of host.stream<number, string>(jobs, 'emitNumbers', { numbers: 1e9, milliseconds: 1 })) {
      if (piece === 3) break
    }
    assert.equal(await host.call(jobs, 'count', null), 1)
  })

  it('ends a stream with ABORTED when the signal fires', async () => {
    const controller = new AbortController()
    const payload = { numbers: 1e9, milliseconds: 1 }
    const stream = host.stream<number, string>(jobs, 'emitNumbers', payload, { signal: controller.signal })
    await assert.rejects(
      async () => {
        for await (const piece of stream) if (piece === 3) controller.abort()
      },
      { code: 'ABORTED' },
    )
  })

  it('rejects every pending and later call when the thread dies', async () => {
    for (const death of ['exit', 'crash']) {
      const dying = new WorkerHost()
      const calls = [dying.call(jobs, 'wait', { milliseconds: 60_000 }), dying.call(jobs, death, null)]
      for (const result of await Promise.allSettled(calls)) {
        assert.ok(result.status === 'rejected' && result.reason instanceof PyramidionError)
        assert.equal(result.reason.code, 'INTERNAL')
        assert.match(result.reason.message, /exit code 3|thrown outside any job/)
      }
      await assert.rejects(dying.call(jobs, 'count', null), { code: 'INTERNAL' })
      await dying.dispose('the worker')
    }
  })

  it('rejects pending calls with DISPOSED and waits until they have stopped', async () => {
    const spinning = host.call(jobs, 'spin', null)
    const rejected = assert.rejects(spinning, { code: 'DISPOSED', message: 'the model was disposed' })
    await delay(50)
    await host.dispose('the model')
    await rejected
    await assert.rejects(host.call(jobs, 'count', null), { code: 'DISPOSED' })
    await host.dispose('the model')
  })
})

describe('runInWorker', () => {
  it('runs the job of a module and ends the thread', async () => {
    const result = await runInWorker<{ payload: unknown; thread: number }>(jobs, { of: 'mine' })
    assert.deepEqual(result.payload, { of: 'mine' })
    assert.notEqual(result.thread, threadId)
  })

  it('starts nothing when the signal has fired', async () => {
    await assert.rejects(runInWorker(jobs, null, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
  })
})

describe('a process', () => {
  const hostModule = new URL('../../dist/worker/worker-host.js', import.meta.url).href
  const program = (body: string) =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { WorkerHost } from '${hostModule}'; const host = new WorkerHost(); const jobs = new URL('${jobs.href}'); ${body}`,
      ],
      { encoding: 'utf8', timeout: 30_000 },
    )

  it('ends although an idle worker was never disposed', () => {
    const { status, stdout } = program(`console.log(await host.call(jobs, 'count', null))`)
    assert.equal(stdout, '1\n')
    assert.equal(status, 0)
  })

  it('does not end while a worker is busy', () => {
    const { status, stdout } = program(
      `host.call(jobs, 'wait', { milliseconds: 300 }).then(() => console.log('waited'))`,
    )
    assert.equal(stdout, 'waited\n')
    assert.equal(status, 0)
  })

  it('survives the end of threads that are inside the addon', () => {
    const script = fileURLToPath(new URL('./terminate-busy.mjs', import.meta.url))
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: 100_000 })
    assert.equal(stdout, 'alive\n', stderr)
    assert.equal(status, 0)
  })
})
