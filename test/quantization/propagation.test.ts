import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openModel } from '../../dist/checkpoint/open-model.js'
import type { StoredWeights } from '../../dist/checkpoint/read-weights.js'
import { inputOf, type LinearInput, linearInputs, weightsFedBy } from '../../dist/model/block.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { ActivationSpace } from '../../dist/quantization/activation-store.js'
import { Propagation } from '../../dist/quantization/propagation.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'
import { runInSteps } from '../model/block-steps.js'
import { randomNormal } from '../model/random-normal.js'
import { randomTensors, type Tensors, tinyConfig, withCheckpoint } from '../model/tiny-checkpoint.js'

const seed = 71
const windows = [Int32Array.of(3, 1, 4, 1, 5, 9), Int32Array.of(2, 6), Int32Array.of(5, 35, 8, 9, 7)]
const tokens = windows.reduce((sum, ids) => sum + ids.length, 0)
const config = { ...tinyConfig, attention_bias: true, mlp_bias: true }

/** The weights with some noise, as quantization leaves them. */
function noisy(tensors: Tensors): Tensors {
  const random = new RandomSource(seed + 1)
  return new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const noise = randomNormal(random, values.length, shape.length === 2 ? 0.05 : 0)
      return [name, { shape, values: values.map((value, i) => value + noise[i]) }]
    }),
  )
}

/** Inputs of linear layers in a whole model: `layer input` to the values of each window. */
async function inputsOf(tensors: Tensors): Promise<Map<string, Float32Array[]>> {
  return withCheckpoint(config, tensors, async folder => {
    const source = await openModel(folder)
    const seen = new Map<string, Float32Array[]>()
    for (const ids of windows) {
      await runInSteps(source, ids, (layer, input, x) => {
        const key = `${layer} ${input}`
        seen.set(key, [...(seen.get(key) ?? []), x.slice()])
      })
    }
    await source.close()
    return seen
  })
}

/** The mean over tokens of a b^T, in double. */
function moment(a: Float32Array[], b: Float32Array[]): Float64Array {
  const sizes = [a, b].map(all => all.reduce((sum, x) => sum + x.length, 0) / tokens)
  const sums = new Float64Array(sizes[0] * sizes[1])
  for (let w = 0; w < a.length; w++) {
    for (let t = 0; t < windows[w].length; t++) {
      for (let i = 0; i < sizes[0]; i++) {
        for (let j = 0; j < sizes[1]; j++) sums[i * sizes[1] + j] += a[w][t * sizes[0] + i] * b[w][t * sizes[1] + j]
      }
    }
  }
  return sums.map(sum => sum / tokens)
}

const minus = (a: Float32Array[], b: Float32Array[]) => a.map((x, w) => x.map((value, i) => value - b[w][i]))

function assertClose(actual: Float64Array, expected: Float64Array, what: string): void {
  assert.equal(actual.length, expected.length, what)
  const scale = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length)
  for (const [i, value] of actual.entries()) {
    assert.ok(Math.abs(value - expected[i]) <= 1e-4 * scale + 1e-12, `${what}: ${value}, not ${expected[i]}, at ${i}`)
  }
}

/** A propagation over the tiny model in `folder` whose quantized model has the weights `replaced`. */
async function start(folder: string, memoryBytes: number, replaced?: Tensors) {
  const source = await openModel(folder)
  const scratch = join(temporaryFolder(), 'scratch')
  const space = new ActivationSpace(scratch, memoryBytes)
  const asked: string[] = []
  let visited = 0
  const quantizedWeights = async (name: string): Promise<StoredWeights> => {
    asked.push(name)
    const { shape, values } = replaced!.get(name)!
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    return { weights: { format: 'f32', rows: shape[0], columns: shape[1], data }, rotation: null }
  }
  const propagation = await Propagation.start(source, windows, {
    space,
    quantizedWeights: replaced && quantizedWeights,
    onWindow: () => visited++,
  })
  const close = async () => {
    await space.close()
    await source.close()
    assert.ok(!existsSync(scratch))
  }
  return { propagation, asked, visited: () => visited, scratch, close }
}

describe(`propagation, seed ${seed}`, () => {
  const original = randomTensors(config, seed)
  const quantized = noisy(original)

  it('knows which input feeds which weight', () => {
    assert.deepEqual(inputOf('model.layers.12.mlp.down_proj.weight'), { layer: 12, input: 'mlpDown' })
    for (const name of ['model.layers.1.input_layernorm.weight', 'lm_head.weight', 'model.layers.1.mlp.up_proj.bias']) {
      assert.equal(inputOf(name), undefined)
    }
    for (const input of linearInputs) {
      for (const name of weightsFedBy(2, input)) assert.deepEqual(inputOf(name), { layer: 2, input })
    }
  })

  for (const [where, memoryBytes] of [
    ['in memory', 2 ** 30],
    ['in files', 0],
  ] as const) {
    it(`finds the moments of two whole models, stage by stage, with hidden states ${where}`, async () => {
      const [x, z] = [await inputsOf(original), await inputsOf(quantized)]
      await withCheckpoint(config, original, async folder => {
        const { propagation, asked, visited, scratch, close } = await start(folder, memoryBytes, quantized)
        assert.equal(existsSync(scratch), memoryBytes === 0)
        assert.deepEqual(asked, ['model.embed_tokens.weight'])
        for (let layer = 0; layer < config.num_hidden_layers; layer++) {
          for (const input of linearInputs) {
            const { hessian, drift, residualDrift } = await propagation.advance(layer, input)
            const [seen, expected] = [z.get(`${layer} ${input}`)!, x.get(`${layer} ${input}`)!]
            const what = `${input} of block ${layer}`
            assert.equal(hessian.tokens, tokens)
            assertClose(hessian.mean(), moment(seen, seen), what)
            assertClose(drift!.mean(), moment(minus(expected, seen), seen), what)
            assert.equal(residualDrift !== undefined, input === 'attentionOutput' || input === 'mlpDown')
            // Weights are asked for when the step behind them begins, not before they can be known.
            assert.ok(!asked.includes(weightsFedBy(layer, input)[0]), what)
          }
        }
        const steps = 5 * config.num_hidden_layers - 1
        assert.equal(visited(), steps * windows.length)
        await close()
      })
    })
  }

  it('finds the drift of the residual stream that a layer adds to', async () => {
    const z = await inputsOf(quantized)
    const embedded = (tensors: Tensors) =>
      windows.map(ids => {
        const rows = [...ids].map(id =>
          tensors.get('model.embed_tokens.weight')!.values.subarray(20 * id, 20 * id + 20),
        )
        return Float32Array.from(rows.flatMap(row => [...row]))
      })
    await withCheckpoint(config, original, async folder => {
      const { propagation, close } = await start(folder, 2 ** 30, quantized)
      const { residualDrift } = await propagation.advance(0, 'attentionOutput')
      const drift = minus(embedded(original), embedded(quantized))
      assertClose(residualDrift!.mean(), moment(drift, z.get('0 attentionOutput')!), 'residual')
      await close()
    })
  })

  it('may skip inputs, as a resumed run does, and comes to the same moments', async () => {
    await withCheckpoint(config, original, async folder => {
      const whole = await start(folder, 2 ** 30, quantized)
      const places = [0, 1, 2].flatMap(layer => linearInputs.map((input): [number, LinearInput] => [layer, input]))
      const all = new Map<string, Float64Array[]>()
      const meansOf = async ({ propagation }: typeof whole, layer: number, input: LinearInput) => {
        const { hessian, drift } = await propagation.advance(layer, input)
        return [hessian.mean(), drift!.mean()]
      }
      for (const [layer, input] of places) all.set(`${layer} ${input}`, await meansOf(whole, layer, input))
      await whole.close()
      for (const [first, second] of [
        [1, 2],
        [3, 4],
        [6, 11],
      ]) {
        const skipping = await start(folder, 2 ** 30, quantized)
        for (const i of [first, second]) {
          const [layer, input] = places[i]
          assert.deepEqual(await meansOf(skipping, layer, input), all.get(`${layer} ${input}`))
        }
        await skipping.close()
      }
    })
  })

  it('runs the original model alone where nothing is to be propagated', async () => {
    const x = await inputsOf(original)
    await withCheckpoint(config, original, async folder => {
      const { propagation, close } = await start(folder, 2 ** 30)
      const { hessian, drift, residualDrift } = await propagation.advance(1, 'mlpDown')
      assertClose(hessian.mean(), moment(x.get('1 mlpDown')!, x.get('1 mlpDown')!), 'mlpDown')
      assert.equal(drift ?? residualDrift, undefined)
      await close()
    })
  })
})
