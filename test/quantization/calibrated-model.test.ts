import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { type AdvancedOptions, evaluate, quantizeModel } from '../../dist/index.js'
import { expectError } from '../checkpoint/expect-error.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'
import { withSmallModel } from './small-model.js'
import { calibration, evaluationText, output, tales, untimed, weightsOf } from './tales.js'

describe('quantizeModel with calibration', () => {
  // Enough to tell methods apart.
  const calibrationTokens = 4096
  // A few windows, so that a run takes a second or two.
  const options = { bits: 2.5, calibration, calibrationTokens: 1024 }

  it('rounds for the inputs that calibration text gives the layers', async () => {
    const divergence = async (rounding: 'guided' | 'nearest') => {
      const folder = output()
      const result = await quantizeModel(tales, { bits: 3, rounding, calibration, calibrationTokens, output: folder })
      assert.ok(Math.abs(result.linearBitsPerWeight - 3) < 0.01, `${result.linearBitsPerWeight}`)
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 8 })
      return klDivergence!.mean
    }
    const [guided, nearest] = [await divergence('guided'), await divergence('nearest')]
    assert.ok(guided < 0.75 * nearest, `KL ${guided} guided, ${nearest} nearest`)
  })

  it('does without parts of the method where it is told to', async () => {
    await withSmallModel(async model => {
      const quantized = async (advanced: AdvancedOptions) => {
        const folder = output()
        await quantizeModel(model, { bits: 4, calibration: calibration.slice(0, 2000), output: folder, advanced })
        return folder
      }
      const rotations = async (folder: string) => {
        const source = await openModel(folder)
        await source.close()
        return [...source.quantized.values()].filter(({ rotation }) => rotation !== null).length
      }
      const whole = await quantized({})
      assert.equal(await rotations(whole), 21)
      assert.equal(await rotations(await quantized({ rotation: false })), 0)
      const parts = ['propagation', 'sensitivity', 'fisherMix', 'outputCoupling', 'allocation', 'feedback', 'ordered']
      for (const part of parts) {
        assert.ok(!weightsOf(await quantized({ [part]: false })).equals(weightsOf(whole)), part)
      }
      assert.ok(!weightsOf(await quantized({ sweeps: 0 })).equals(weightsOf(whole)))
    })
  })

  it('calibrates block by block for corrections that weigh errors by inputs', async () => {
    const report = async (rank: number | 'auto', lowRank: 'lqer' | 'l2qer' | 'qera') => {
      const folder = output()
      // As in the papers: what else makes up for errors hides what weighing them is worth.
      const advanced = { propagation: false, refits: 0 }
      const options = { bits: 3, rounding: 'nearest' as const, rank, lowRank, calibration, calibrationTokens, advanced }
      const result = await quantizeModel(tales, { ...options, output: folder })
      assert.ok(Math.abs(result.linearBitsPerWeight - 3) < 0.01, `${result.linearBitsPerWeight}`)
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 4 })
      return { kl: klDivergence!.mean, ranks: result.layers.map(layer => layer.rank) }
    }
    const lqer = await report(8, 'lqer')
    const qera = await report(8, 'qera')
    const automatic = await report('auto', 'qera')
    assert.ok(qera.kl < lqer.kl, `KL ${qera.kl} with qera, ${lqer.kl} with lqer`)
    assert.ok(qera.ranks.every(rank => rank === 8))
    assert.ok(automatic.kl <= qera.kl * 1.1, `KL ${automatic.kl} with auto, ${qera.kl} with rank 8`)
  })

  it('makes up in each layer for what was quantized before it', async () => {
    const run = async (propagation: boolean) => {
      const folder = output()
      const { layers } = await quantizeModel(tales, {
        bits: 3,
        calibration,
        advanced: { propagation, sensitivity: false },
        output: folder,
      })
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 8 })
      return { kl: klDivergence!.mean, layers }
    }
    const [without, corrected] = [await run(false), await run(true)]
    assert.ok(corrected.kl < 0.95 * without.kl, `KL ${corrected.kl} with propagation, ${without.kl} without`)
    for (const { name, outputError, nearestOutputError } of [...without.layers, ...corrected.layers]) {
      assert.ok(outputError! < 0.9 * nearestOutputError!, `${name}: ${outputError}, nearest ${nearestOutputError}`)
    }
  })

  it('ends in the same bytes after a kill, wherever hidden states are kept', async function () {
    this.timeout(120_000)
    const whole = output()
    const { layers } = await quantizeModel(tales, { ...options, output: whole })
    const killed = output()
    const program = join(import.meta.dirname, 'killed-quantization.ts')
    // In the middle of calibrating a block, and of rounding one.
    for (const share of [0.3, 0.7]) {
      const child = fork(program, [tales, killed, JSON.stringify({ ...options, calibrationMemory: 0 })], {
        execArgv: ['--import', 'tsx'],
      })
      const ended = new Promise(resolve => child.once('exit', (_code, signal) => resolve(signal)))
      child.on('message', (done: number) => {
        if (done >= share) child.kill('SIGKILL')
      })
      assert.equal(await ended, 'SIGKILL')
      assert.deepEqual(readdirSync(join(killed, '..')), ['quantized.partial'])
    }
    const resumed = await quantizeModel(tales, { ...options, calibrationMemory: 100_000, output: killed })
    assert.deepEqual(readdirSync(join(killed, '..')), ['quantized'])
    assert.deepEqual(untimed(resumed.layers), untimed(layers))
    assert.ok(weightsOf(killed).equals(weightsOf(whole)))
  })

  it('reports progress that only rises, calibration and rounding both, and stops wherever it is told to', () =>
    withSmallModel(async model => {
      const folder = output()
      const labels = new Set<string>()
      // Reports come 20 times a second at most: with so much text every part of the work has one, and enough time is left to stop.
      const settings = { ...options, calibrationTokens: 4096 }
      for (const share of [0.2, 0.5, 2]) {
        const controller = new AbortController()
        let last = 0
        const work = quantizeModel(model, {
          ...settings,
          output: folder,
          signal: controller.signal,
          onProgress: ({ done, total, label }) => {
            assert.ok(done >= last && done <= total, `${done} after ${last}, of ${total}`)
            last = done
            labels.add(label!.replace(/\d+/, 'N'))
            if (done > share * total) controller.abort()
          },
        })
        if (share < 1) await expectError(() => work, 'ABORTED', /aborted/)
        else await work
      }
      assert.ok(labels.has('sensitivity of block N'), [...labels].join())
      assert.ok(labels.has('calibrating block N'), [...labels].join())
      assert.ok(labels.has('model.layers.N.mlp.down_proj.weight'), [...labels].join())
      const whole = output()
      await quantizeModel(model, { ...settings, output: whole })
      assert.ok(weightsOf(folder).equals(weightsOf(whole)))
    }))

  it('measures once what a calibration cache keeps, to the same bytes', () =>
    withSmallModel(async model => {
      const calibrationCache = join(temporaryFolder(), 'cache')
      const measured = async (more: object) => {
        const folder = output()
        let measures = false
        const onProgress = ({ label }: { label?: string }) => {
          measures ||= label?.startsWith('sensitivity of') ?? false
        }
        await quantizeModel(model, { ...options, output: folder, onProgress, ...more })
        return { measures, weights: weightsOf(folder) }
      }
      assert.ok((await measured({ bits: 4, calibrationCache })).measures)
      const again = await measured({ calibrationCache })
      assert.ok(!again.measures)
      const alone = await measured({})
      assert.ok(alone.measures && alone.weights.equals(again.weights))
    }))

  it('lets the first layers make up for a quantized embedding, and corrections for what codes leave', async () => {
    const run = async (more: object) => {
      const folder = output()
      const correction = { rank: 4, lowRank: 'qera' as const }
      const settings = { bits: 3, embeddingBits: 3, ...correction, calibration, ...more }
      const { layers } = await quantizeModel(tales, { ...settings, output: folder })
      assert.ok(layers[1].outputError! > 0 && layers[1].nearestOutputError === undefined)
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 8 })
      return klDivergence!.mean
    }
    const sensitivity = false
    const [without, corrected] = [
      await run({ advanced: { sensitivity, propagation: false } }),
      await run({ advanced: { sensitivity } }),
    ]
    assert.ok(corrected < 0.97 * without, `KL ${corrected} with propagation, ${without} without`)
  })
})
