import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { readWeights } from '../../dist/checkpoint/read-weights.js'
import {
  evaluate,
  inspectModel,
  layerErrors,
  loadModel,
  type QuantizeModelOptions,
  quantizeModel,
} from '../../dist/index.js'
import { expectError } from '../checkpoint/expect-error.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'
import { longestPause } from '../model/longest-pause.js'
import { randomTensors, tinyConfig, withCheckpoint } from '../model/tiny-checkpoint.js'
import { calibration, evaluationText, output, tales, untimed, weightsOf } from './tales.js'

describe('quantizeModel', () => {
  for (const [options, embedding] of [
    [{ bits: 3.25 }, 'kept'],
    [{ bits: 2, embeddingBits: 6 }, 'quantized'],
    [{ bits: 4.1, rank: 4 }, 'kept'],
    [{ bits: 3, lattice: 'barnes-wall' }, 'kept'],
    [{ bits: 3.25, quantizer: 'integer' }, 'kept'],
    [{ bits: 4.5, quantizer: 'mxint' }, 'kept'],
  ] as [Omit<QuantizeModelOptions, 'output'>, string][]) {
    it(`writes a model that runs, at the rate asked for: ${JSON.stringify(options)}`, async () => {
      const folder = output()
      const result = await quantizeModel(tales, { ...options, output: folder })
      assert.ok(
        Math.abs(result.linearBitsPerWeight - options.bits!) < 0.01,
        `${result.linearBitsPerWeight} bits in the linear layers`,
      )
      const source = await openModel(folder)
      const original = await openModel(tales)
      try {
        assert.equal(source.kind, 'quantized')
        const stored = [...source.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
        const parameters = [...original.tensors.values()].reduce((sum, { bytes }) => sum + bytes / 2, 0)
        assert.ok(Math.abs(result.bitsPerWeight - (8 * stored) / parameters) < 1e-9)
        assert.equal(source.quantized.has('model.embed_tokens.weight'), embedding === 'quantized')
        if (embedding === 'kept') {
          const name = 'model.embed_tokens.weight'
          assert.deepEqual(await source.read(name), await original.read(name))
        }
      } finally {
        await source.close()
        await original.close()
      }
      const errors = await layerErrors({ model: folder, reference: tales })
      assert.deepEqual(
        errors.map(({ name }) => name),
        result.layers.map(({ name }) => name),
      )
      for (const [i, { name, relativeSquaredError }] of errors.entries()) {
        const reported = result.layers[i].relativeSquaredError
        assert.ok(Math.abs(reported / relativeSquaredError - 1) < 0.01, `${name}: ${reported}, ${relativeSquaredError}`)
      }
      const model = await loadModel(folder)
      try {
        assert.equal((await model.logits(Int32Array.of(1, 2, 3))).length % model.config.vocabularySize, 0)
      } finally {
        await model.dispose()
      }
    })
  }

  it('notes the activations the model is for, which loading may override', async () => {
    const folder = output()
    await quantizeModel(tales, { bits: 4, activations: 'mxint6', output: folder })
    const measure = (activations?: 'float' | 'mxint6' | 'mxint3') =>
      evaluate({ model: folder, reference: tales, text: evaluationText, windows: 2, activations })
    const [own, six, three, float] = [
      await measure(),
      await measure('mxint6'),
      await measure('mxint3'),
      await measure('float'),
    ]
    assert.equal(own.perplexity, six.perplexity)
    const divergences = [three, six, float].map(({ klDivergence }) => klDivergence!.mean)
    assert.ok(divergences[0] > divergences[1] && divergences[1] > divergences[2], `${divergences}`)
    await using model = await loadModel(folder)
    await using exact = await loadModel(folder, { activations: 'float' })
    assert.deepEqual([model.activations, exact.activations], ['mxint6', 'float'])
    const settings = { reference: tales, text: evaluationText, windows: 2 }
    assert.equal((await evaluate({ model, ...settings })).perplexity, six.perplexity)
    assert.equal((await evaluate({ model: exact, ...settings })).perplexity, float.perplexity)
    await expectError(
      () => evaluate({ model, activations: 'float', ...settings }),
      'INVALID_ARGUMENT',
      /chosen when it is loaded/,
    )
    await expectError(() => loadModel(folder, { activations: 'float16' as never }), 'INVALID_ARGUMENT', /got "float16"/)
  })

  it('gives more bits to layers on which the loss depends more, the same in all, and loses less', async () => {
    const run = async (allocation: boolean) => {
      const folder = output()
      const settings = { calibration, calibrationTokens: 8192, advanced: { allocation, propagation: false } }
      const result = await quantizeModel(tales, { bits: 2.5, ...settings, output: folder })
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 4 })
      return { ...result, klDivergence: klDivergence!.mean }
    }
    const [allocated, equal] = [await run(true), await run(false)]
    const rate = allocated.linearBitsPerWeight
    assert.ok(rate <= 2.5 && rate > 2.495, `${rate} bits in the linear layers`)
    assert.ok(
      allocated.klDivergence < 0.9 * equal.klDivergence,
      `KL ${allocated.klDivergence} allocated, ${equal.klDivergence} at equal rates`,
    )
    // Foreseen to second order, without what layers do to each other.
    const foreseen = allocated.layers.reduce((sum, layer) => sum + layer.expectedLoss!, 0)
    assert.ok(
      foreseen > allocated.klDivergence / 3 && foreseen < 1.5 * allocated.klDivergence,
      `KL ${allocated.klDivergence}, foreseen ${foreseen}`,
    )
    assert.ok(equal.layers.every(layer => layer.expectedLoss === undefined))
  })

  it('meets a size from below, embedding and headers counted, by the same bytes after an interruption', async () => {
    const folder = output()
    const options = { size: '2MB', rank: 4, output: folder }
    const controller = new AbortController()
    const interrupted = quantizeModel(tales, {
      ...options,
      signal: controller.signal,
      onProgress: ({ done, total }) => {
        if (done > total / 2) controller.abort()
      },
    })
    await expectError(() => interrupted, 'ABORTED', /./)
    const result = await quantizeModel(tales, options)
    const { size } = statSync(join(folder, 'model.safetensors'))
    assert.equal(result.weightBytes, size)
    assert.ok(size <= 2_000_000 && size > 0.995 * 2_000_000, `${size} bytes`)
    const inspection = await inspectModel(folder)
    assert.equal(inspection.bytes, size)
    assert.ok(Math.abs(inspection.bitsPerWeight - result.bitsPerWeight) < 1e-9)
    assert.ok(Math.abs(inspection.linearBitsPerWeight - result.linearBitsPerWeight) < 1e-9)
    const embedding = result.layers.find(({ name }) => name === 'model.embed_tokens.weight')!
    assert.ok(Math.abs(embedding.bitsPerWeight - result.linearBitsPerWeight - 2) < 0.05, `${embedding.bitsPerWeight}`)
  })

  it('loses less where there are more bits, and less than integer rounding', async () => {
    const divergence = async (options: Omit<QuantizeModelOptions, 'output'>) => {
      const folder = output()
      await quantizeModel(tales, { ...options, output: folder })
      const { klDivergence } = await evaluate({ model: folder, reference: tales, text: evaluationText, windows: 4 })
      return klDivergence!.mean
    }
    const [two, three, four] = [
      await divergence({ bits: 2 }),
      await divergence({ bits: 3 }),
      await divergence({ bits: 4 }),
    ]
    const integers = await divergence({ bits: 3, quantizer: 'integer' })
    assert.ok(four < three / 2 && three < two / 2, `KL ${two}, ${three}, ${four} at 2, 3 and 4 bits`)
    assert.ok(three < integers / 2, `KL ${three}, integers ${integers}`)
  })

  it('ends in the same bytes every time, whether interrupted or not', async () => {
    const options = { bits: 2.7, rank: 2, seed: 9 }
    const whole = output()
    await quantizeModel(tales, { ...options, output: whole })
    const interrupted = output()
    const controller = new AbortController()
    const work = quantizeModel(tales, {
      ...options,
      output: interrupted,
      signal: controller.signal,
      onProgress: ({ done, total }) => {
        if (done > total / 2) controller.abort()
      },
    })
    await expectError(() => work, 'ABORTED', /aborted/)
    assert.deepEqual(readdirSync(join(interrupted, '..')), ['quantized.partial'])
    const resumed = await quantizeModel(tales, { ...options, output: interrupted })
    assert.deepEqual(readdirSync(join(interrupted, '..')), ['quantized'])
    assert.ok(weightsOf(interrupted).equals(weightsOf(whole)))
    const again = output()
    const result = await quantizeModel(tales, { ...options, output: again })
    assert.deepEqual(untimed(result.layers), untimed(resumed.layers))
    assert.ok(weightsOf(again).equals(weightsOf(whole)))
  })

  it('leaves the event loop free', async () => {
    const { pause } = await longestPause(() => quantizeModel(tales, { bits: 3, output: output() }))
    assert.ok(pause < 250, `the event loop stood still for ${pause} ms`)
  })

  it('quantizes a model of odd sizes with untied head', async () => {
    const config = { ...tinyConfig, hidden_size: 72, intermediate_size: 100 }
    await withCheckpoint(config, randomTensors(config, 3), async source => {
      const folder = output()
      writeFileSync(join(source, 'tokenizer.json'), readFileSync(join(tales, 'tokenizer.json')))
      writeFileSync(join(source, 'tokenizer_config.json'), readFileSync(join(tales, 'tokenizer_config.json')))
      const result = await quantizeModel(source, { bits: 5, embeddingBits: 6, output: folder })
      assert.equal(result.layers.length, 3 * 7 + 2)
      // Rows this short step by whole bytes, and a carry between layers evens that out.
      assert.ok(Math.abs(result.linearBitsPerWeight - 5) < 0.1, `${result.linearBitsPerWeight}`)
      for (const { name, relativeSquaredError } of result.layers) {
        assert.ok(relativeSquaredError < 0.02, `${name}: ${relativeSquaredError}`)
      }
      const model = await openModel(folder)
      const head = await readWeights(model, 'lm_head.weight')
      assert.equal(head.weights.format, 'pvq')
      await model.close()
    })
  })

  it('reports what is wrong before any work starts, and leaves nothing behind', async () => {
    const parent = temporaryFolder()
    const folder = join(parent, 'quantized')
    const attempt = (options: object, source = tales) =>
      quantizeModel(source, { output: folder, bits: 3, ...options } as QuantizeModelOptions)
    const cases: [() => unknown, Parameters<typeof expectError>[1], RegExp][] = [
      [() => attempt({ bits: 9 }), 'RATE_OUT_OF_RANGE', /bits must be between 1 and 8, got 9/],
      [() => attempt({ bits: undefined }), 'INVALID_ARGUMENT', /either bits or size/],
      [() => attempt({ size: '2MB' }), 'INVALID_ARGUMENT', /either bits or size/],
      [() => attempt({ bits: undefined, size: 'large' }), 'INVALID_ARGUMENT', /size must be/],
      [() => attempt({ bits: undefined, size: '2MB', rank: 'auto' }), 'INVALID_ARGUMENT', /size needs/],
      [() => attempt({ bits: undefined, size: '2MB', quantizer: 'mxint' }), 'INVALID_ARGUMENT', /size needs/],
      [() => attempt({ bits: undefined, size: '100kB' }), 'RATE_OUT_OF_RANGE', /size must be from \d+ \(.* kB\) to/],
      [() => attempt({ embeddingBits: 0 }), 'RATE_OUT_OF_RANGE', /embeddingBits/],
      [() => attempt({ output: '' }), 'INVALID_ARGUMENT', /output/],
      [() => attempt({ quantizer: 'gptq' }), 'INVALID_ARGUMENT', /quantizer must be one of pvq, integer, mxint/],
      [
        () => attempt({ lattice: 'leech' }),
        'INVALID_ARGUMENT',
        /lattice must be one of integer, barnes-wall, got leech/,
      ],
      [() => attempt({ lowRank: 'svd' }), 'INVALID_ARGUMENT', /lowRank/],
      [() => attempt({ rank: -1 }), 'INVALID_ARGUMENT', /rank/],
      [() => attempt({ rank: 300 }), 'INVALID_ARGUMENT', /rank must be at most/],
      [() => attempt({ bits: 1.1, rank: 16 }), 'RATE_OUT_OF_RANGE', /./],
      [() => attempt({ rank: 8, lowRank: 'qera' }), 'CALIBRATION_REQUIRED', /calibration text/],
      [() => attempt({ rank: 'auto', lowRank: 'l2qer' }), 'CALIBRATION_REQUIRED', /calibration text/],
      [() => attempt({ calibration: ' \n' }), 'EMPTY', /calibration/],
      [() => attempt({ calibration: [3] }), 'INVALID_ARGUMENT', /calibration/],
      [() => attempt({ calibrationTokens: 0 }), 'INVALID_ARGUMENT', /calibrationTokens/],
      [() => attempt({ calibrationMemory: -1 }), 'INVALID_ARGUMENT', /calibrationMemory/],
      [() => attempt({ seed: 1.5 }), 'INVALID_ARGUMENT', /seed/],
      [
        () => attempt({ advanced: { rotations: false } }),
        'INVALID_ARGUMENT',
        /no option rotations; there are rotation,/,
      ],
      [() => attempt({ advanced: { feedback: 'no' } }), 'INVALID_ARGUMENT', /advanced.feedback must be true or false/],
      [() => attempt({ advanced: { moves: -1 } }), 'INVALID_ARGUMENT', /advanced.moves/],
      [() => attempt({ advanced: { ridge: 0 } }), 'INVALID_ARGUMENT', /advanced.ridge must be between/],
      [() => attempt({ signal: AbortSignal.abort() }), 'ABORTED', /./],
      [() => attempt({}, join(parent, 'nowhere')), 'FILE_NOT_FOUND', /nowhere/],
      [() => attempt({}, ''), 'INVALID_ARGUMENT', /source/],
      [() => attempt({ output: tales }), 'OUTPUT_EXISTS', /overwrite/],
    ]
    for (const [action, code, message] of cases) await expectError(action, code, message)
    assert.deepEqual(readdirSync(parent), [])
  })

  it('refuses a model that is quantized already, and weights that are not finite', async () => {
    const folder = output()
    await quantizeModel(tales, { bits: 3, output: folder })
    await expectError(
      () => quantizeModel(folder, { bits: 2, output: output() }),
      'UNSUPPORTED_FORMAT',
      /quantized already/,
    )
    const config = { ...tinyConfig, hidden_size: 72, intermediate_size: 100 }
    const tensors = randomTensors(config, 4)
    tensors.get('model.layers.1.mlp.up_proj.weight')!.values[73] = Number.NaN
    await withCheckpoint(config, tensors, async source => {
      const parent = temporaryFolder()
      await expectError(
        () => quantizeModel(source, { bits: 5, output: join(parent, 'quantized') }),
        'NOT_FINITE',
        /model.layers.1.mlp.up_proj.weight must be finite, got NaN in row 1, column 1/,
      )
      assert.deepEqual(readdirSync(parent), [])
    })
  })
})
