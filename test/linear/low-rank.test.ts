import assert from 'node:assert/strict'
import { Hessian } from '../../dist/linear/hessian.js'
import { type LowRankMethod, lowRankBits, lowRankScaling, quantizeFactors } from '../../dist/linear/low-rank.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { native } from '../../dist/native.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

/** B A, in double. */
function product(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  rows: number,
  columns: number,
  rank: number,
): Float64Array {
  const out = new Float64Array(rows * columns)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let i = 0; i < rank; i++) out[r * columns + c] += b[r * rank + i] * a[i * columns + c]
    }
  }
  return out
}

/** Values of int8 factors: each block of 16 along a row has a scale. */
function decoded(codes: Int8Array, scales: Uint16Array, columns: number): Float32Array {
  const values = native.fromHalf(scales)
  const blocks = Math.ceil(columns / 16)
  return Float32Array.from(codes, (code, i) => {
    const row = Math.floor(i / columns)
    return code * values[row * blocks + Math.floor((i % columns) / 16)]
  })
}

const squares = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0)

/** Inputs some of which are far larger than others, and correlated. */
function inputs(random: RandomSource, tokens: number, width: number): Float32Array {
  const x = randomNormal(random, tokens * width)
  for (let t = 0; t < tokens; t++) {
    const common = 3 * (random.next() - 0.5)
    for (let i = 0; i < width; i++) x[t * width + i] = x[t * width + i] * (i % 9 === 0 ? 5 : 0.5) + common * (i % 4)
  }
  return x
}

describe('low-rank factors', () => {
  it('cost their int8 values and an f16 scale for 16 of them', () => {
    assert.equal(lowRankBits(100, 40, 0), 0)
    assert.equal(lowRankBits(100, 40, 20), 8 * 20 * 140 + 16 * (20 * 3 + 100 * 2))
  })

  it('are the exact matrix when it has that rank', async () => {
    const random = new RandomSource(41)
    const [rows, columns, rank] = [23, 37, 5]
    const exact = product(randomNormal(random, rank * columns), randomNormal(random, rows * rank), rows, columns, rank)
    for (const method of ['lqer', 'l2qer', 'qera'] as const) {
      const hessian = new Hessian(columns)
      hessian.add(inputs(random, 200, columns), 200)
      const { a, b } = await native.lowRankFactorsAsync(
        Float32Array.from(exact),
        rows,
        columns,
        rank,
        lowRankScaling(method, hessian),
      )
      const error = product(a, b, rows, columns, rank).map((value, i) => value - exact[i])
      assert.ok(squares(error) < 1e-6 * squares(exact), `${method}: ${squares(error)}`)
    }
  })

  it('lower the output error the more they know of the inputs', async () => {
    const seed = 42
    const random = new RandomSource(seed)
    const [rows, columns, rank, tokens] = [48, 60, 6, 400]
    const error = randomNormal(random, rows * columns)
    const x = inputs(random, tokens, columns)
    const hessian = new Hessian(columns)
    hessian.add(x, tokens)
    const outputError = async (method?: LowRankMethod) => {
      let left = Float64Array.from(error)
      if (method !== undefined) {
        const { a, b } = await native.lowRankFactorsAsync(error, rows, columns, rank, lowRankScaling(method, hessian))
        const correction = product(a, b, rows, columns, rank)
        left = left.map((value, i) => value - correction[i])
      }
      let sum = 0
      for (let t = 0; t < tokens; t++) {
        for (let r = 0; r < rows; r++) {
          let y = 0
          for (let c = 0; c < columns; c++) y += left[r * columns + c] * x[t * columns + c]
          sum += y * y
        }
      }
      return sum / tokens / rows
    }
    const [none, lqer, l2qer, qera] = [
      await outputError(),
      await outputError('lqer'),
      await outputError('l2qer'),
      await outputError('qera'),
    ]
    const figures = `seed ${seed}: ${[none, lqer, l2qer, qera].join(', ')}`
    assert.ok(lqer < none && l2qer < lqer && qera < l2qer, figures)
    const expected = await native.expectedErrorAsync(error, rows, columns, hessian.mean())
    assert.ok(Math.abs(expected / none - 1) < 1e-4, `${figures}; expected ${expected}`)
  })

  it('survive int8 with an error of about a percent, however unlike their magnitudes', () => {
    const random = new RandomSource(43)
    const [rows, columns, rank] = [30, 50, 20]
    for (const [left, right] of [
      [1, 1],
      [1e-7, 1e6],
      [1e5, 1e-9],
    ]) {
      const a = randomNormal(random, rank * columns, left)
      const b = randomNormal(random, rows * rank, right)
      const factors = quantizeFactors(a, b, rows, columns, rank)
      assert.equal(factors.aScales.length, rank * Math.ceil(columns / 16))
      assert.equal(factors.bScales.length, rows * Math.ceil(rank / 16))
      const exact = product(a, b, rows, columns, rank)
      const approximate = product(
        decoded(factors.a, factors.aScales, columns),
        decoded(factors.b, factors.bScales, rank),
        rows,
        columns,
        rank,
      )
      const error = squares(approximate.map((value, i) => value - exact[i])) / squares(exact)
      assert.ok(error < 2e-4, `magnitudes ${left} and ${right}: ${error}`)
    }
  })

  it('of nothing are nothing', () => {
    const factors = quantizeFactors(new Float32Array(2 * 20), new Float32Array(3 * 2), 3, 20, 2)
    assert.ok(factors.a.every(code => code === 0) && factors.b.every(code => code === 0))
  })
})

describe('Hessian', () => {
  it('is the mean of x x^T over all inputs, and knows the largest mean magnitude of a batch', async () => {
    const seed = 44
    const random = new RandomSource(seed)
    const width = 13
    const hessian = new Hessian(width)
    const batches = [5, 1, 30].map(tokens => ({ tokens, x: randomNormal(random, tokens * width + 3).subarray(3) }))
    hessian.add(batches[0].x, batches[0].tokens)
    await hessian.addAsync(batches[1].x, batches[1].tokens)
    hessian.add(batches[2].x, batches[2].tokens)
    assert.equal(hessian.tokens, 36)
    const mean = hessian.mean()
    const magnitude = hessian.meanMagnitude()
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        let sum = 0
        for (const { x, tokens } of batches) {
          for (let t = 0; t < tokens; t++) sum += x[t * width + i] * x[t * width + j]
        }
        assert.ok(Math.abs(mean[i * width + j] - sum / 36) < 1e-6, `seed ${seed}, ${i}, ${j}`)
      }
      const largest = Math.max(
        ...batches.map(({ x, tokens }) => {
          let sum = 0
          for (let t = 0; t < tokens; t++) sum += Math.abs(x[t * width + i])
          return sum / tokens
        }),
      )
      assert.ok(Math.abs(magnitude[i] - largest) < 1e-6, `seed ${seed}, ${i}`)
    }
  })

  it('weighs each token where weights are given, and divides by the number of tokens', async () => {
    const seed = 45
    const random = new RandomSource(seed)
    const [width, tokens] = [7, 600]
    const x = randomNormal(random, tokens * width)
    const weights = randomNormal(random, tokens).map(value => value * value)
    const hessian = new Hessian(width)
    hessian.add(x, tokens, weights)
    const later = new Hessian(width)
    await later.addAsync(x.subarray(0, 100 * width), 100, weights.subarray(0, 100))
    await later.addAsync(x.subarray(100 * width), 500, weights.subarray(100))
    const mean = hessian.mean()
    assert.deepEqual(later.mean(), mean)
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        let sum = 0
        for (let t = 0; t < tokens; t++) sum += weights[t] * x[t * width + i] * x[t * width + j]
        assert.ok(Math.abs(mean[i * width + j] - sum / tokens) < 1e-6, `seed ${seed}, ${i}, ${j}`)
      }
    }
  })

  it('refuses inputs of another shape, that are not finite, or none', async () => {
    const hessian = new Hessian(4)
    const x = new Float32Array(8)
    await expectError(() => hessian.add(x, 2, new Float32Array(3)), 'INVALID_SHAPE', /weights must have 2 x 1/)
    await expectError(
      () => hessian.add(x, 2, Float32Array.of(1, -1)),
      'INVALID_ARGUMENT',
      /0 or more, got -1 for token 1/,
    )
    await expectError(() => hessian.mean(), 'EMPTY', /seen no inputs/)
    await expectError(() => hessian.add(new Float32Array(7), 2), 'INVALID_SHAPE', /x must have 2 x 4 = 8 values, got 7/)
    await expectError(() => hessian.add(new Float32Array(0), 0), 'EMPTY', /x has no values/)
    await expectError(() => hessian.add(Float32Array.of(1, 2, Infinity, 4), 1), 'NOT_FINITE', /column 2/)
    await expectError(() => hessian.addAsync(Float32Array.of(1, 2, Number.NaN, 4), 1), 'NOT_FINITE', /column 2/)
    assert.equal(hessian.tokens, 0)
    await expectError(() => new Hessian(0), 'INVALID_ARGUMENT', /inFeatures/)
  })
})
