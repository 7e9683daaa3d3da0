import assert from 'node:assert/strict'
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelSource } from '../../dist/checkpoint/model-source.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { BlockGradient } from '../../dist/model/block-gradient.js'
import { HeadGradient } from '../../dist/model/head-gradient.js'
import { type ProjectionName, projectionNames } from '../../dist/model/projection-names.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { ActivationSpace } from '../../dist/quantization/activation-store.js'
import { Sensitivity, type SensitivityOptions } from '../../dist/quantization/sensitivity.js'
import { expectError } from '../checkpoint/expect-error.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'
import { randomIds } from '../model/random-normal.js'
import { randomTensors, type TinyConfig, tinyConfig, withCheckpoint } from '../model/tiny-checkpoint.js'
import { WindowTrace } from '../model/window-trace.js'

const seed = 60
const windows = [9, 14, 5, 11].map((length, i) => randomIds(new RandomSource(seed + i), length, tinyConfig.vocab_size))

async function withTiny<T>(use: (source: ModelSource) => Promise<T>, config: TinyConfig = tinyConfig): Promise<T> {
  return withCheckpoint(config, randomTensors(config, seed), async folder => {
    const source = await openModel(folder)
    try {
      return await use(source)
    } finally {
      await source.close()
    }
  })
}

/** Where a run keeps its files; `memoryBytes` of hidden states stay in memory. */
function options(change: Partial<SensitivityOptions> = {}, memoryBytes = 1e6): SensitivityOptions {
  const folder = join(temporaryFolder(), 'sensitivity')
  return { folder, space: new ActivationSpace(join(folder, 'activations'), memoryBytes), seed, ...change }
}

/** The moments of all windows in plain loops. */
class PlainMoments {
  readonly #sums = new Map<string, { input: Float64Array; output: Float64Array; square: number }>()
  #tokens = 0

  private constructor(private readonly cap: number) {}

  static async of(source: ModelSource, some: Int32Array[], cap = Number.POSITIVE_INFINITY): Promise<PlainMoments> {
    const moments = new PlainMoments(cap)
    for (const [i, ids] of some.entries()) {
      const trace = await WindowTrace.run(source, ids)
      const gradient = new Float32Array(trace.top.length)
      new HeadGradient(trace.ends).sampledLabels(trace.top, ids.length, new RandomSource(seed + i), gradient)
      const backward = new BlockGradient(source.config)
      for (const [layer, block] of [...trace.blocks.entries()].reverse()) {
        backward.backward(block, trace.hidden[layer], gradient, ids.length, {
          projection: (name, x, g, tokens) => moments.#add(`${layer} ${name}`, x, g, tokens),
        })
      }
      moments.#tokens += ids.length
    }
    return moments
  }

  #add(key: string, x: Float32Array, g: Float32Array, tokens: number) {
    const [inputs, out] = [x.length / tokens, g.length / tokens]
    const sums = this.#sums.get(key) ?? {
      input: new Float64Array(inputs * inputs),
      output: new Float64Array(out * out),
      square: 0,
    }
    this.#sums.set(key, sums)
    const rows = Array.from({ length: tokens }, (_, t) => g.slice(t * out, (t + 1) * out))
    const squareOf = (row: Float32Array) => row.reduce((sum, value) => sum + value * value, 0)
    const limit = this.cap * rows.map(squareOf).sort((a, b) => a - b)[tokens >> 1]
    for (const [t, row] of rows.entries()) {
      const shrink = Math.min(1, Math.sqrt(limit / squareOf(row)))
      const [xs, gs] = [x.subarray(t * inputs, (t + 1) * inputs), row.map(value => value * shrink)]
      const weight = squareOf(gs)
      sums.square += weight
      for (let i = 0; i < inputs; i++) {
        for (let j = 0; j < inputs; j++) sums.input[i * inputs + j] += weight * xs[i] * xs[j]
      }
      for (let i = 0; i < out; i++) for (let j = 0; j < out; j++) sums.output[i * out + j] += gs[i] * gs[j]
    }
  }

  of(layer: number, name: ProjectionName) {
    const { input, output, square } = this.#sums.get(`${layer} ${name}`)!
    return {
      inputHessian: input.map(value => value / this.#tokens),
      outputHessian: output.map(value => value / this.#tokens),
      squaredGradient: square / this.#tokens,
    }
  }
}

function assertClose(found: Float64Array | undefined, expected: Float64Array, what: string): void {
  assert.equal(found?.length, expected.length, what)
  const scale = Math.max(...expected.map(Math.abs))
  for (const [i, value] of expected.entries()) {
    assert.ok(
      Math.abs(found![i] - value) < 1e-5 * scale,
      `${what}, ${i}: ${found![i]}, expected ${value}, seed ${seed}`,
    )
  }
}

async function assertEquals(sensitivity: Sensitivity, expected: PlainMoments, layers: number): Promise<void> {
  for (let layer = 0; layer < layers; layer++) {
    const squares = await sensitivity.squaredGradients(layer)
    for (const name of projectionNames) {
      const what = `${layer} ${name}`
      const found = await sensitivity.of(layer, name)
      const { inputHessian, outputHessian, squaredGradient } = expected.of(layer, name)
      assertClose(found.inputHessian, inputHessian, `${what}, inputs`)
      assertClose(found.outputHessian, outputHessian, `${what}, outputs`)
      assert.ok(Math.abs(found.squaredGradient / squaredGradient - 1) < 1e-5, what)
      assert.equal(squares[name], found.squaredGradient)
    }
  }
}

const blockFiles = (folder: string) =>
  readdirSync(folder)
    .filter(name => name.endsWith('.safetensors'))
    .sort()
    .map(name => [name, readFileSync(join(folder, name)).toString('base64')])

/** Of the one set of arguments that was measured. */
function onlyFolderIn(folder: string): string {
  const names = readdirSync(folder).filter(name => name !== 'activations')
  assert.equal(names.length, 1)
  return join(folder, names[0])
}

describe('Sensitivity', () => {
  for (const [what, memoryBytes] of [
    ['in memory', 1e6],
    ['in files', 0],
  ] as const) {
    it(`gives each projection's Fisher-weighted moments, hidden states ${what}`, () =>
      withTiny(async source => {
        const run = options({}, memoryBytes)
        const sensitivity = await Sensitivity.measure(source, windows, run)
        await run.space.close()
        await assertEquals(sensitivity, await PlainMoments.of(source, windows), source.config.layers)
        assert.deepEqual(
          readdirSync(onlyFolderIn(run.folder)).sort(),
          ['block-0', 'block-1', 'block-2'].map(n => `${n}.safetensors`),
        )
      }))
  }

  it('goes on after an interruption at any point, and ends in the same bytes', () =>
    withTiny(async source => {
      const whole = options()
      let polls = 0
      await Sensitivity.measure(source, windows, { ...whole, poll: () => polls++ })
      const expected = blockFiles(onlyFolderIn(whole.folder))
      for (const limit of [0, 6, 17, 21, 24, 27, polls - 1]) {
        const run = options({}, 2000)
        let left = limit
        const poll = () => {
          if (left-- === 0) throw new Error('interrupted')
        }
        await assert.rejects(Sensitivity.measure(source, windows, { ...run, poll }), /interrupted/)
        let again = 0
        const progress: number[] = []
        await Sensitivity.measure(source, windows, {
          ...run,
          poll: () => again++,
          onProgress: ({ done, total }) => progress.push(done / total),
        })
        assert.deepEqual(blockFiles(onlyFolderIn(run.folder)), expected, `after ${limit} of ${polls}`)
        assert.ok(limit < 20 || again < polls, `${again} of ${polls} again after ${limit}`)
        assert.equal(progress.at(-1), 1)
        // And a finished run is not done again.
        await Sensitivity.measure(source, windows, { ...run, poll: () => assert.fail('computes again') })
        await run.space.close()
      }
    }))

  it('takes windows spread over those given, and leaves output Hessians out where asked', () =>
    withTiny(async source => {
      const run = options({ windows: 2, outputHessians: false })
      const sensitivity = await Sensitivity.measure(source, windows, run)
      const expected = await PlainMoments.of(source, [windows[0], windows[2]])
      const { inputHessian, outputHessian } = await sensitivity.of(1, 'mlp.down_proj')
      assertClose(inputHessian, expected.of(1, 'mlp.down_proj').inputHessian, 'two windows')
      assert.equal(outputHessian, undefined)
    }))

  it('scales gradients far beyond the usual down where asked', () =>
    withTiny(async source => {
      const cap = 1.5
      const run = options({ cap })
      const sensitivity = await Sensitivity.measure(source, windows, run)
      const expected = await PlainMoments.of(source, windows, cap)
      await assertEquals(sensitivity, expected, source.config.layers)
      const uncapped = (await PlainMoments.of(source, windows)).of(0, 'mlp.up_proj').squaredGradient
      assert.ok(expected.of(0, 'mlp.up_proj').squaredGradient < 0.95 * uncapped)
    }))

  it('keeps what it measured with other arguments apart, and takes none of it for its own', () =>
    withTiny(async source => {
      const run = options()
      const first = await Sensitivity.measure(source, windows, run)
      const [ours] = readdirSync(run.folder)
      const before = blockFiles(join(run.folder, ours))
      const other = await Sensitivity.measure(source, windows, { ...run, seed: seed + 100 })
      const theirs = readdirSync(run.folder).find(name => name !== ours)!
      assert.deepEqual(blockFiles(join(run.folder, ours)), before)
      assert.notDeepEqual(blockFiles(join(run.folder, theirs)), before)
      assert.ok((await other.of(0, 'mlp.up_proj')).squaredGradient > 0)
      const file = 'block-0.safetensors'
      copyFileSync(join(run.folder, theirs, file), join(run.folder, ours, file))
      await expectError(() => first.of(0, 'mlp.up_proj'), 'INVALID_FILE', /another run/)
      await Sensitivity.measure(source, windows, run)
      assert.deepEqual(blockFiles(join(run.folder, ours)), before)
      assert.ok(!existsSync(join(run.folder, ours, 'gradients-0.safetensors')))
    }))
})
