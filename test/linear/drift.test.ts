import assert from 'node:assert/strict'
import { DriftCorrection, DriftMoment } from '../../dist/linear/drift.js'
import { Hessian } from '../../dist/linear/hessian.js'
import { RandomSource } from '../../dist/model/random-source.js'
import type { DenseWeights } from '../../dist/native.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

const seed = 81
const rows = 24
const columns = 40
const tokens = 2000

const dense = (values: Float32Array): DenseWeights => ({
  format: 'f32',
  rows,
  columns,
  data: new Uint8Array(values.buffer),
})

/** y = W x for each token. */
function outputs(weight: Float32Array, x: Float32Array): Float32Array {
  const y = new Float32Array((x.length / columns) * rows)
  for (let i = 0; i < y.length; i++) {
    const [token, row] = [Math.floor(i / rows), i % rows]
    for (let j = 0; j < columns; j++) y[i] += weight[row * columns + j] * x[token * columns + j]
  }
  return y
}

const squaredDistance = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0)

/** Inputs x, and z that differ from them by something that depends on z, and by noise. */
function drifted(random: RandomSource, count: number, noise: number) {
  const z = randomNormal(random, count * columns)
  const x = z.slice()
  const unpredictable = randomNormal(random, x.length, noise)
  for (let i = 0; i < x.length; i++) x[i] += 0.4 * z[i - (i % columns) + ((i + 7) % columns)] + unpredictable[i]
  return { x, z }
}

function momentsOf({ x, z }: { x: Float32Array; z: Float32Array }) {
  const hessian = new Hessian(columns)
  hessian.add(z, z.length / columns)
  const drift = new DriftMoment(columns, columns)
  drift.add(x, z, z, z.length / columns)
  return { hessian, drift }
}

describe(`drift, seed ${seed}`, () => {
  const random = new RandomSource(seed)
  const weight = randomNormal(random, rows * columns)

  it('corrects weights for inputs that drifted, on inputs it has not seen too', async () => {
    const { hessian, drift } = momentsOf(drifted(random, tokens, 0.1))
    const target = await (await DriftCorrection.create(hessian, drift)).target(dense(weight))
    const { x, z } = drifted(random, 500, 0.1)
    const wanted = outputs(weight, x)
    const [before, after] = [weight, target].map(matrix => squaredDistance(outputs(matrix, z), wanted))
    assert.ok(after < 0.5 * before, `${after} of ${before}`)
  })

  it('leaves weights alone whose inputs have not drifted', async () => {
    const z = randomNormal(random, tokens * columns)
    const { hessian, drift } = momentsOf({ x: z, z })
    assert.deepEqual(await (await DriftCorrection.create(hessian, drift)).target(dense(weight)), weight)
  })

  it('makes a layer give back part of what a residual stream lost', async () => {
    const z = randomNormal(random, tokens * columns)
    const lost = outputs(weight, z).map(value => 0.3 * value)
    const { hessian, drift } = momentsOf({ x: z, z })
    const residual = new DriftMoment(rows, columns)
    residual.add(lost, new Float32Array(lost.length), z, tokens)
    const target = await (await DriftCorrection.create(hessian, drift, residual)).target(dense(weight))
    const wanted = outputs(weight, z).map((value, i) => value + lost[i])
    const [before, after] = [weight, target].map(matrix => squaredDistance(outputs(matrix, z), wanted))
    assert.ok(after < 0.5 * before, `${after} of ${before}`)
  })

  it('says what is wrong', async () => {
    const moment = new DriftMoment(3, 2)
    await expectError(() => moment.mean(), 'EMPTY', /no tokens/)
    await expectError(
      () => moment.add(new Float32Array(6), new Float32Array(6), new Float32Array(5), 2),
      'INVALID_SHAPE',
      /z must have/,
    )
  })
})
