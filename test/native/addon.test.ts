import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { PyramidionError } from '../../dist/errors.js'
import { type DenseWeights, native } from '../../dist/native.js'

const require = createRequire(import.meta.url)
const addonPath = process.env.PYRAMIDION_ADDON ?? require.resolve('../../build/Release/pyramidion.node')

/** Values in [-1, 1) from a fixed sequence (xorshift32). */
function pseudoRandom(count: number, seed = 1): Float32Array {
  let state = seed
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 31 - 1
  })
}

function denseWeights(rows: number, columns: number): DenseWeights & { values: Float32Array } {
  const values = pseudoRandom(rows * columns, 7)
  return { format: 'f32', rows, columns, data: new Uint8Array(values.buffer), values }
}

function assertRefused(action: () => unknown, code: string, message: RegExp): void {
  assert.throws(action, (error: unknown) => {
    assert.ok(error instanceof PyramidionError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

/** Runs a script in a Node process of its own; `addon` is the loaded addon there. */
function runScript(script: string): { status: number | null; output: string } {
  const child = spawnSync(process.execPath, ['-e', `const addon = require(${JSON.stringify(addonPath)}); ${script}`], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status: child.status, output: child.stdout + child.stderr }
}

describe('arguments of the addon', () => {
  it('are refused with their name, what they were and what they may be', () => {
    const linear = new native.Linear({ weights: denseWeights(3, 4) })
    const y = new Float32Array(3)
    assertRefused(
      () => linear.forward(new Float32Array(5), 1, y, false),
      'INVALID_SHAPE',
      /^x must have 4 values, got 5$/,
    )
    assertRefused(
      () => linear.forward([1, 2, 3, 4] as never, 1, y, false),
      'INVALID_ARGUMENT',
      /^x must be a Float32Array, got an array$/,
    )
    assertRefused(
      () => linear.forward(new Float64Array(4) as never, 1, y, false),
      'INVALID_ARGUMENT',
      /^x must be a Float32Array, got an instance of Float64Array$/,
    )
    assertRefused(() => linear.forward(new Float32Array(4), 1.5, y, false), 'INVALID_ARGUMENT', /^tokens .* got 1.5$/)
    assertRefused(
      () => linear.forward(new Float32Array(4), Number.NaN, y, false),
      'INVALID_ARGUMENT',
      /^tokens .* nan$/i,
    )
    assertRefused(() => linear.forward(new Float32Array(4), -1, y, false), 'INVALID_ARGUMENT', /^tokens .* got -1$/)
    assertRefused(
      () => linear.forward(new Float32Array(4), 1, y, 1 as never),
      'INVALID_ARGUMENT',
      /^prepared must be true or false, got 1$/,
    )
    assertRefused(() => linear.gatherRows(Int32Array.of(0, 3), new Float32Array(8)), 'INVALID_ARGUMENT', /ids .* got 3/)
    assertRefused(() => native.setThreadCount(0), 'INVALID_ARGUMENT', /^count .* got 0$/)
  })

  it('of gradients are refused before anything is written', () => {
    const linear = new native.Linear({ weights: denseWeights(3, 4) })
    const floats = (length: number) => new Float32Array(length)
    assertRefused(() => linear.backward(floats(4), 1, floats(4), false, false), 'INVALID_SHAPE', /^gradient .* 3 .* 4$/)
    assertRefused(() => linear.backward(floats(3), 1, floats(3), false, false), 'INVALID_SHAPE', /^out .* 4 .* 3$/)
    const shape = { tokens: 2, heads: 2, keyValueHeads: 1, headDimension: 4, window: 0 }
    const attend = (change: object, keyLength = 8) =>
      native.attentionBackward(
        floats(16),
        floats(8),
        floats(8),
        floats(16),
        { ...shape, ...change },
        floats(16),
        floats(keyLength),
        floats(8),
      )
    attend({})
    assertRefused(() => attend({}, 7), 'INVALID_SHAPE', /^keyGradient must have 8 values, got 7$/)
    assertRefused(
      () => native.rmsNormBackward(floats(8), floats(4), 1e-5, 2, floats(8), floats(7)),
      'INVALID_SHAPE',
      /^out must have 8 values, got 7$/,
    )
    assertRefused(
      () => native.siluMultiplyBackward(floats(8), floats(8), floats(7)),
      'INVALID_SHAPE',
      /^gradient must have 8 values, got 7$/,
    )
    assertRefused(
      () => native.sampledLabelGradient(floats(8), 2, 4, new Float64Array(1)),
      'INVALID_SHAPE',
      /^uniforms must have 2 values, got 1$/,
    )
    assertRefused(
      () => native.distillationGradient(floats(8), floats(7), 2, 4),
      'INVALID_SHAPE',
      /^reference must have 8 values, got 7$/,
    )
  })

  it('may be views into a larger buffer, shared or not', () => {
    const source = new Float32Array(new SharedArrayBuffer(40), 4, 5)
    source.set([1, 2, 3, 4, Number.NaN])
    assert.equal(native.firstNonFinite(source), 4)
    assert.deepEqual(native.fromHalf(native.toHalf(source.subarray(1, 4))), Float32Array.of(2, 3, 4))
    const padded = pseudoRandom(20).subarray(3, 16)
    const out = new Float32Array(30)
    native.siluMultiply(padded, new Float32Array(13).fill(1), out.subarray(2, 15))
    for (let i = 0; i < 13; i++) {
      assert.ok(Math.abs(out[i + 2] - padded[i] / (1 + Math.exp(-padded[i]))) < 1e-6)
    }
    assert.ok(out.subarray(0, 2).every(value => value === 0) && out.subarray(15).every(value => value === 0))
  })

  it('are searched for what is not finite from the first to the last, on several threads', () => {
    const many = new Float32Array(500_000)
    assert.equal(native.firstNonFinite(many), -1)
    for (const position of [499_999, 300_000, 131_072, 131_071, 700, 0]) {
      many[position] = position % 2 === 0 ? Number.NaN : Number.NEGATIVE_INFINITY
      assert.equal(native.firstNonFinite(many), position)
    }
  })

  it('are refused when a buffer was transferred away', () => {
    const x = new Float32Array(4)
    structuredClone(x.buffer, { transfer: [x.buffer] })
    const linear = new native.Linear({ weights: denseWeights(3, 4) })
    assertRefused(
      () => linear.forward(x, 1, new Float32Array(3), false),
      'INVALID_SHAPE',
      /x must have 4 values, got 0/,
    )
  })

  it('of a weight matrix must fit each other', () => {
    const weights = denseWeights(3, 4)
    const refuse = (change: object, code: string, message: RegExp) =>
      assertRefused(() => new native.Linear({ weights: { ...weights, ...change } as DenseWeights }), code, message)
    refuse({ rows: 4 }, 'INVALID_SHAPE', /weights.data must have 64 values, got 48/)
    refuse({ rows: 2 ** 31, columns: 2 ** 31 }, 'INVALID_SHAPE', /too large/)
    refuse({ format: 'q4_k' }, 'INVALID_SHAPE', /columns must be a multiple of 256/)
    refuse({ format: 'q5_0' }, 'INVALID_ARGUMENT', /format must be .* got "q5_0"/)
    refuse({ data: undefined }, 'INVALID_ARGUMENT', /weights.data must be a Uint8Array, got undefined/)
    assertRefused(() => new native.Linear({ weights, rotation: {} as never }), 'INVALID_ARGUMENT', /a Rotation/)
    const narrow = new native.ActivationQuantizer(3, { kind: 'int8' })
    assertRefused(() => new native.Linear({ weights, activations: narrow }), 'INVALID_SHAPE', /columns = 4 .* got 3/)
    assertRefused(
      () => new native.Linear({ weights, activations: {} as never }),
      'INVALID_ARGUMENT',
      /an ActivationQuantizer/,
    )
    assertRefused(() => new native.Linear({ weights, bias: new Float32Array(4) }), 'INVALID_SHAPE', /bias must have 3/)
  })
})

describe('an activation quantizer of the addon', () => {
  it('refuses settings and inputs that do not fit', () => {
    const make = (settings: object) => () => new native.ActivationQuantizer(32, settings as never)
    assertRefused(make({ kind: 'int4' }), 'INVALID_ARGUMENT', /^settings.kind must be int8, mxint or pvq, got "int4"$/)
    assertRefused(make({ kind: 'mxint', bits: 9, blockSize: 16 }), 'INVALID_ARGUMENT', /bits .* got 9/)
    assertRefused(make({ kind: 'mxint', bits: 8, blockSize: 0 }), 'INVALID_ARGUMENT', /blockSize .* got 0/)
    const segments = [{ columns: 16, dimension: 8, pulses: 5, levels: Float32Array.of(2) }]
    assertRefused(make({ kind: 'pvq', segments }), 'INVALID_SHAPE', /segments/)
    const quantizer = new native.ActivationQuantizer(4, { kind: 'int8' })
    assertRefused(() => quantizer.apply(new Float32Array(7), 2), 'INVALID_SHAPE', /^x must have 8 values, got 7$/)
  })
})

describe('asynchronous operations of the addon', () => {
  const weights = denseWeights(50, 64)
  const linear = new native.Linear({ weights })

  it('give what their synchronous twins give, many at once', async () => {
    const jobs = Array.from({ length: 40 }, async (_, i) => {
      const tokens = 1 + (i % 7)
      const x = pseudoRandom(tokens * 64, i + 1)
      const [expected, y] = [new Float32Array(tokens * 50), new Float32Array(tokens * 50)]
      linear.forward(x, tokens, expected, false)
      await linear.forwardAsync(x, tokens, y, false)
      assert.deepEqual(y, expected)
    })
    await Promise.all(jobs)
  })

  it('refuse bad arguments at once and report failures of the work by rejecting', async () => {
    assertRefused(() => native.decodeRowsAsync(weights, 40, 11, new Float32Array(0)), 'INVALID_ARGUMENT', /rowCount/)
    const scaling = { kind: 'hessian', hessian: new Float64Array(16), ridge: 0 } as const
    await assert.rejects(native.lowRankFactorsAsync(new Float32Array(8).fill(1), 2, 4, 1, scaling), {
      name: 'PyramidionError',
      code: 'INVALID_ARGUMENT',
      message: /positive definite/,
    })
  })

  it('keep their arrays alive while the caller has dropped them', async () => {
    const results = Array.from({ length: 30 }, () => {
      const out = new Float32Array(50 * 64)
      return native.decodeRowsAsync({ ...weights, data: weights.data.slice() }, 0, 50, out).then(() => out)
    })
    for (let i = 0; i < 200; i++) new Float32Array(100_000).fill(i)
    for (const out of await Promise.all(results)) assert.deepEqual(out, weights.values)
  })

  it('leave the event loop free', async () => {
    const hessian = new native.Hessian(256)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await hessian.addAsync(pseudoRandom(20_000 * 256), 20_000)
    clearInterval(timer)
    assert.equal(hessian.tokens, 20_000)
    assert.ok(turns > 0)
  })
})

describe('the life of the addon', () => {
  const work = `
    const x = new Float32Array(2000 * 512).fill(1)
    const hessian = new addon.Hessian(512)
    for (let i = 0; i < 12; i++) hessian.addAsync(x, 2000)
  `

  it('ends with the process while jobs are waiting and running', () => {
    const { status, output } = runScript(`${work} setTimeout(() => process.exit(7), 20)`)
    assert.equal(status, 7, output)
  })

  it('ends with the process while weights are being encoded', () => {
    const { status, output } = runScript(`
      const segments = [{ columns: 512, dimension: 16, pulses: 24, levels: Float32Array.of(3, 4, 5) }]
      addon.pvqEncodeAsync(new Float32Array(2000 * 512).fill(1), 2000, 512, segments)
      setTimeout(() => process.exit(7), 20)
    `)
    assert.equal(status, 7, output)
  })

  it('lets a process with nothing left to do end by itself', () => {
    const { status, output } = runScript(
      `addon.capabilities(); addon.addInPlace(new Float32Array(9), new Float32Array(9))`,
    )
    assert.equal(status, 0, output)
  })

  it('survives workers that are terminated while their jobs run', () => {
    const { status, output } = runScript(`
      const { Worker } = require('node:worker_threads')
      const source = ${JSON.stringify(`const addon = require(${JSON.stringify(addonPath)}); ${work} require('node:worker_threads').parentPort.postMessage(0)`)}
      const run = () => new Promise((resolve, reject) => {
        const worker = new Worker(source, { eval: true })
        worker.on('message', () => worker.terminate().then(resolve, reject)).on('error', reject)
      })
      Promise.all([run(), run(), run()]).then(run).then(() => {
        const values = addon.fromHalf(addon.toHalf(new Float32Array([1.5])))
        process.exit(values[0] === 1.5 ? 3 : 4)
      })
    `)
    assert.equal(status, 3, output)
  })

  it('outlives workers that were the only ones to load it', () => {
    const child = spawnSync(
      process.execPath,
      [
        '-e',
        `const { Worker } = require('node:worker_threads')
         const source = ${JSON.stringify(`const addon = require(${JSON.stringify(addonPath)}); addon.addInPlace(new Float32Array(1e6), new Float32Array(1e6))`)}
         const run = () => new Promise(resolve => new Worker(source, { eval: true }).on('exit', resolve))
         run().then(run).then(run).then(() => setTimeout(() => process.exit(5), 50))`,
      ],
      { encoding: 'utf8', timeout: 60_000 },
    )
    assert.equal(child.status, 5, child.stderr)
  })

  it('gives every worker errors of the class it named', async () => {
    const source = `
      const { parentPort } = require('node:worker_threads')
      const addon = require(${JSON.stringify(addonPath)})
      class Mine extends Error { constructor(code, message) { super(message); this.code = code } }
      addon.setErrorClass(Mine)
      try { addon.setThreadCount(-1) } catch (error) { parentPort.postMessage([error instanceof Mine, error.code]) }
    `
    const worker = new Worker(source, { eval: true })
    const answer = await new Promise(resolve => worker.once('message', resolve))
    assert.deepEqual(answer, [true, 'INVALID_ARGUMENT'])
    assertRefused(() => native.setThreadCount(-1), 'INVALID_ARGUMENT', /count/)
  })
})

describe('capabilities', () => {
  it('name the instruction sets, the kernels chosen and the threads, which can be set', () => {
    const before = native.capabilities()
    assert.ok(before.threads >= 1)
    assert.ok(Array.isArray(before.instructionSets))
    for (const kernel of Object.values(before.kernels))
      assert.match(kernel, /^(portable|avx2|avx512(_vbmi)?|neon(_dot)?)$/)
    native.setThreadCount(3)
    assert.equal(native.capabilities().threads, 3)
    native.setThreadCount(before.threads)
  })

  it('follow the environment variables that lower them', () => {
    const child = spawnSync(
      process.execPath,
      ['-e', `console.log(JSON.stringify(require(${JSON.stringify(addonPath)}).capabilities()))`],
      { encoding: 'utf8', env: { ...process.env, PYRAMIDION_INSTRUCTION_SET: 'portable', PYRAMIDION_THREADS: '5' } },
    )
    const { threads, kernels } = JSON.parse(child.stdout)
    assert.equal(threads, 5)
    assert.ok(Object.values(kernels).every(kernel => kernel === 'portable'))
  })
})
