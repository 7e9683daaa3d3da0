import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { evaluate, type QuantizeModelOptions, quantizeModel } from '../../dist/index.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { ActivationSpace } from '../../dist/quantization/activation-store.js'
import { type RecoveryOptions, recover, splitWindows } from '../../dist/quantization/recovery.js'
import { expectError } from '../checkpoint/expect-error.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'
import { randomIds } from '../model/random-normal.js'
import { randomTensors, withCheckpoint } from '../model/tiny-checkpoint.js'
import { quantizableConfig, type TinyQuantized, withQuantizedTiny } from '../model/tiny-quantized.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
const calibration = readFileSync(join(tales, 'calibration.txt'), 'utf8').slice(0, 12_000)
const evaluationText = readFileSync(join(tales, 'evaluation.txt'), 'utf8').slice(0, 20_000)
const seed = 81
const windows = Array.from({ length: 11 }, (_, i) =>
  randomIds(new RandomSource(seed + i), 9 + i, quantizableConfig.vocab_size),
)

function options(change: Partial<RecoveryOptions> = {}, memoryBytes = 1e6): RecoveryOptions {
  return { steps: 6, seed, space: new ActivationSpace(join(temporaryFolder(), 'space'), memoryBytes), ...change }
}

const withTiny = (use: (models: TinyQuantized) => Promise<void>) =>
  withQuantizedTiny(quantizableConfig, randomTensors(quantizableConfig, seed), { bits: 3.3, rank: 0 }, use)

const weightsOf = (folder: string) => readFileSync(join(folder, 'model.safetensors'))
const output = () => join(temporaryFolder(), 'quantized')

describe(`recovery, seed ${seed}`, () => {
  it('holds out every eighth window or so, and needs two', async () => {
    const some = (count: number) => Array.from({ length: count }, (_, i) => Int32Array.of(i))
    for (const [count, held] of [
      [2, 1],
      [16, 2],
      [128, 8],
    ]) {
      const { fitted, heldOut } = splitWindows(some(count))
      assert.deepEqual([fitted.length, heldOut.length], [count - held, held])
      assert.equal(new Set([...fitted, ...heldOut].map(([id]) => id)).size, count)
    }
    await expectError(() => splitWindows(some(1)), 'EMPTY', /at least two windows/)
  })

  it('gives the same values wherever hidden states are kept, and leaves the models as they were', () =>
    withTiny(async ({ plain, quantized }) => {
      const split = splitWindows(windows)
      const runs = [1e6, 2500, 0].map(memory => options({}, memory))
      const [first, ...others] = await Promise.all(runs.map(run => recover(plain, quantized, split, run)))
      for (const other of others) assert.deepEqual(other, first)
      assert.equal(first.values.size, 2 * (14 + 2) + 1)
      for (const [name, values] of first.values) {
        const stored = quantized.tensors.get(name)
        assert.deepEqual(stored?.shape, [values.length], name)
        assert.ok(values.every(Number.isFinite), name)
      }
      for (const { space } of runs) await space.close()
    }))

  it('reports progress that only rises, and stops where it is told to', () =>
    withTiny(async ({ plain, quantized }) => {
      const reports: number[] = []
      let polls = 0
      const onProgress = ({ done, total }: { done: number; total: number }) => reports.push(done / total)
      await recover(plain, quantized, splitWindows(windows), options({ onProgress, poll: () => polls++ }))
      assert.ok(reports.every((share, i) => share >= (reports[i - 1] ?? 0)))
      assert.ok(Math.abs(reports.at(-1)! - 1) < 1e-9)
      for (const limit of [0, 5, polls >> 1, polls - 1]) {
        let left = limit
        const poll = () => {
          if (left-- === 0) throw new Error('interrupted')
        }
        const work = recover(plain, quantized, splitWindows(windows), options({ poll }))
        await assert.rejects(work, /interrupted/)
      }
    }))

  it('brings a model closer to its original on text that it was not fitted to', async () => {
    const divergence = async (recovery: number) => {
      const folder = output()
      const calibrated = { calibration, calibrationTokens: 4096 }
      const settings: QuantizeModelOptions = { bits: 2, rounding: 'nearest', ...calibrated, recovery, output: folder }
      const result = await quantizeModel(tales, settings)
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 4 })
      return { kl: klDivergence!.mean, result }
    }
    const [without, recovered] = [await divergence(0), await divergence(4)]
    assert.equal(without.result.recovery, undefined)
    const { steps, divergenceBefore, divergenceAfter, kept } = recovered.result.recovery!
    assert.deepEqual([steps, kept], [4, true])
    assert.ok(divergenceAfter < 0.98 * divergenceBefore, `KL ${divergenceBefore} before, ${divergenceAfter} after`)
    assert.ok(recovered.kl < 0.98 * without.kl, `KL ${recovered.kl} with recovery, ${without.kl} without`)
    assert.equal(recovered.result.weightBytes, without.result.weightBytes)
  })

  it('ends in the same bytes when quantizeModel is interrupted in the middle of it', async () => {
    const config = { ...quantizableConfig, max_position_embeddings: 96 }
    await withCheckpoint(config, randomTensors(config, seed), async model => {
      for (const name of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(tales, name), join(model, name))
      const settings = { bits: 2.5, calibration: calibration.slice(0, 2000), recovery: 3 }
      const whole = output()
      const { recovery } = await quantizeModel(model, { ...settings, output: whole })
      const interrupted = output()
      const controller = new AbortController()
      const work = quantizeModel(model, {
        ...settings,
        output: interrupted,
        signal: controller.signal,
        onProgress: ({ label }) => {
          if (label === 'recovery') controller.abort()
        },
      })
      await expectError(() => work, 'ABORTED', /aborted/)
      assert.deepEqual(readdirSync(join(interrupted, '..')), ['quantized.partial'])
      const resumed = await quantizeModel(model, { ...settings, output: interrupted })
      assert.deepEqual(resumed.recovery, recovery)
      assert.ok(weightsOf(interrupted).equals(weightsOf(whole)))
      const plain = output()
      await quantizeModel(model, { ...settings, recovery: 0, output: plain })
      assert.ok(recovery!.kept && !weightsOf(plain).equals(weightsOf(whole)), JSON.stringify(recovery))
    })
  })

  it('refuses steps that are no number of steps, and has to have text', async () => {
    const run = (change: Partial<QuantizeModelOptions>) =>
      quantizeModel(tales, { bits: 3, calibration, output: output(), ...change })
    for (const recovery of [-1, 0.5, 1e6, true as never]) {
      await expectError(() => run({ recovery }), 'INVALID_ARGUMENT', /recovery must be/)
    }
    await expectError(() => run({ recovery: 4, calibration: undefined }), 'CALIBRATION_REQUIRED', /calibration text/)
    await expectError(() => run({ recovery: 4, calibration: 'A few words.' }), 'EMPTY', /two windows/)
  })
})
