import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { evaluate, type KeyValueFormat, loadModel, openModel } from '../../dist/index.js'
import { Llama } from '../../dist/model/llama.js'
import { native } from '../../dist/native.js'
import { expectError } from '../checkpoint/expect-error.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
/** tales: 6 layers, keys and values of 2 heads each. */
const rowsPerToken = 6 * 2 * 2

/** More than the first room of a cache. */
const ids = Int32Array.from({ length: 270 }, (_, i) => 3 + ((i * 89) % 2000))

async function load(kvCache?: KeyValueFormat): Promise<Llama> {
  const source = await openModel(tales)
  try {
    return await Llama.load(source, { kvCache })
  } finally {
    await source.close()
  }
}

/** Logits behind every token, the text handed over in runs of the given lengths. */
function logitsOf(model: Llama, lengths: number[]): Float32Array {
  const cache = model.newCache()
  const { vocabularySize } = model.config
  const logits = new Float32Array(ids.length * vocabularySize)
  let start = 0
  for (const length of lengths) {
    const [{ hidden }] = model.run(ids.subarray(start, start + length), cache)
    model.head(hidden, length, logits.subarray(start * vocabularySize, (start + length) * vocabularySize))
    start += length
  }
  return logits
}

function divergence(logits: Float32Array, reference: Float32Array): number {
  const rows = ids.length
  const { klDivergence } = native.logitStatistics(logits, reference, new Int32Array(rows), rows, logits.length / rows)
  return klDivergence!.reduce((sum, each) => sum + each, 0) / rows
}

describe('the cache of keys and values', () => {
  /** Bounds on the divergence, in nats a token, from floats, and of one token at a time from a whole prompt. */
  const bounds: [KeyValueFormat, number, number][] = [
    ['f32', 0, 1e-9],
    ['f16', 1e-6, 1e-7],
    ['int8', 1e-3, 1e-4],
  ]

  for (const [format, fromFloats, fromPrompt] of bounds) {
    it(`predicts in ${format} what it does in floats, for a whole prompt and token by token`, async () => {
      const exact = logitsOf(await load('f32'), [ids.length])
      const model = await load(format)
      const whole = logitsOf(model, [ids.length])
      const rounded = divergence(whole, exact)
      assert.ok(rounded <= fromFloats, `${rounded} nats from floats`)
      assert.ok(format === 'f32' || rounded > 0, 'as in floats')
      const steps = divergence(logitsOf(model, Array(ids.length).fill(1)), whole)
      const mixed = divergence(logitsOf(model, [100, 1, 2, 1, 166]), whole)
      assert.ok(Math.max(steps, mixed) <= fromPrompt, `${steps} and ${mixed} nats from a whole prompt`)
    })
  }

  it('takes four, two or one byte a value, and a float a row in int8, and grows with the text', async () => {
    const headDimension = (await load()).config.headDimension
    const rowBytes = { f32: 4 * headDimension, f16: 2 * headDimension, int8: headDimension + 4 }
    for (const [format, bytes] of Object.entries(rowBytes) as [KeyValueFormat, number][]) {
      const model = await load(format)
      assert.equal(model.cacheBytesPerToken, rowsPerToken * bytes)
      const cache = model.newCache()
      assert.equal(cache.bytes, 0)
      const sizes = [255, 1, 1].map(length => {
        model.next(ids.subarray(0, length), cache)
        return cache.bytes / model.cacheBytesPerToken
      })
      assert.deepEqual(sizes, [256, 256, 512])
      cache.clear()
      assert.equal(cache.length, 0)
    }
  })

  it('is in f16 unless another format is asked for', async () => {
    const model = await loadModel(tales)
    try {
      assert.equal(model.kvCache, 'f16')
      assert.equal(model.cacheBytesPerToken, rowsPerToken * model.config.headDimension * 2)
    } finally {
      await model.dispose()
    }
  })

  it('is chosen where a model is loaded or evaluated', async () => {
    const wrong = 'f8' as KeyValueFormat
    await expectError(() => loadModel(tales, { kvCache: wrong }), 'INVALID_ARGUMENT', /kvCache must be .* got "f8"/)
    const text = await readFile(new URL('../../models/tales/evaluation.txt', import.meta.url), 'utf8')
    const options = { reference: tales, text, window: 256, windows: 1 }
    await expectError(() => evaluate({ model: tales, ...options, kvCache: wrong }), 'INVALID_ARGUMENT', /kvCache/)
    const { klDivergence } = await evaluate({ model: tales, ...options, kvCache: 'int8' })
    assert.ok(klDivergence!.mean > 0 && klDivergence!.mean < 1e-3, `${klDivergence!.mean} nats`)
    const model = await loadModel(tales)
    try {
      await expectError(
        () => evaluate({ model, ...options, kvCache: 'f16' }),
        'INVALID_ARGUMENT',
        /kvCache of a loaded/,
      )
    } finally {
      await model.dispose()
    }
  })
})
