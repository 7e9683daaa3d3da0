import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openModel, quantizeModel } from '../../dist/index.js'
import type { Activations } from '../../dist/linear/activations.js'
import { Llama } from '../../dist/model/llama.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { type NativeKeyValueCache, native } from '../../dist/native.js'
import { runInSteps } from './block-steps.js'
import { randomIds } from './random-normal.js'
import { randomTensors, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))

async function compare(folder: string, activations: Activations, ids: Int32Array): Promise<void> {
  const source = await openModel(folder)
  try {
    const model = await Llama.load(source, { activations, head: 'stored', kvCache: 'f32' })
    const [{ hidden }] = model.run(ids, model.newCache())
    assert.deepEqual(hidden, await runInSteps(source, ids, () => undefined, activations))
  } finally {
    await source.close()
  }
}

describe('a block as one operation', () => {
  const random = new RandomSource(17)

  for (const options of [{ bits: 3 }, { bits: 2.5, rank: 4 }, { bits: 4.5, quantizer: 'mxint' }] as const) {
    it(`gives the bits of its steps: ${JSON.stringify(options)}`, async () => {
      const output = join(await mkdtemp(join(tmpdir(), 'pyramidion-block-')), 'model')
      try {
        await quantizeModel(tales, { ...options, output })
        for (const activations of ['int8', 'float', 'mxint8'] as const)
          await compare(output, activations, randomIds(random, 21, 2048))
      } finally {
        await rm(join(output, '..'), { recursive: true })
      }
    })
  }

  it('gives them with norms of queries and keys, with biases and with a window', async () => {
    for (const config of [
      { ...tinyConfig, model_type: 'qwen3' },
      { ...tinyConfig, model_type: 'qwen2' },
      { ...tinyConfig, model_type: 'mistral', sliding_window: 5 },
    ]) {
      await withCheckpoint(config, randomTensors(config, 18), folder =>
        compare(folder, 'float', randomIds(random, 14, config.vocab_size)),
      )
    }
  })

  it('refuses layers that do not fit each other', () => {
    const linear = (rows: number, columns: number) =>
      new native.Linear({ weights: { format: 'f32', rows, columns, data: new Uint8Array(4 * rows * columns) } })
    const parts = {
      query: linear(8, 6),
      key: linear(4, 6),
      value: linear(4, 6),
      output: linear(6, 8),
      gate: linear(10, 6),
      up: linear(10, 6),
      down: linear(6, 10),
      attentionNorm: new Float32Array(6),
      mlpNorm: new Float32Array(6),
      epsilon: 1e-5,
      heads: 4,
      keyValueHeads: 2,
      headDimension: 2,
      window: 0,
    }
    const blocks = new native.Blocks([parts])
    const [x, angles] = [new Float32Array(18), new Float32Array(3)]
    const forward = (cache?: NativeKeyValueCache, past = 1) =>
      native.forwardBlocks(blocks, x, 3, past, cache, angles, angles)
    const cache = new native.KeyValueCache('f16', 1, 2, 2)
    assert.throws(() => forward(cache), {
      code: 'INVALID_SHAPE',
      message: /cache must have 4 positions or more, got 0/,
    })
    cache.reserve(4)
    forward(cache)
    forward(undefined, 0)
    assert.throws(() => forward(undefined, 1), /past/)
    assert.throws(
      () => forward(new native.KeyValueCache('f16', 2, 2, 2)),
      /cache must be made for the layers and heads/,
    )
    const narrow = new native.KeyValueCache('f16', 1, 2, 1)
    narrow.reserve(4)
    assert.throws(() => forward(narrow), /cache must be made for the layers and heads/)
    assert.throws(() => forward({} as never), /cache must be a KeyValueCache/)
    assert.throws(() => new native.KeyValueCache('f8' as never, 1, 2, 2), /format must be f32, f16 or int8/)
    assert.throws(() => native.forwardBlocks({} as never, x, 3, 1, cache, angles, angles), /blocks must be Blocks/)
    assert.throws(() => native.forwardBlocks(blocks, x, 2, 1, cache, angles, angles), /x/)
    assert.throws(() => new native.Blocks([]), /blocks must have 1 block or more, got 0/)
    const wider = { ...parts, heads: 2, keyValueHeads: 1, headDimension: 4 }
    assert.throws(() => new native.Blocks([parts, wider]), /blocks\[1\] must be of the widths of the first block/)
    const stop = Int32Array.of(1, 0)
    assert.throws(() => native.forwardBlocks(blocks, x, 3, 1, cache, angles, angles, stop), { code: 'ABORTED' })
    assert.throws(() => new native.Blocks([{ ...parts, value: linear(8, 6) }]), /value/)
    assert.throws(() => new native.Blocks([{ ...parts, up: linear(9, 6) }]), /up/)
    assert.throws(() => new native.Blocks([{ ...parts, mlpNorm: new Float32Array(5) }]), /mlpNorm/)
    assert.throws(() => new native.Blocks([{ ...parts, down: {} as never }]), /down must be a Linear/)
  })
})
