import assert from 'node:assert/strict'
import { encodeLinear } from '../../dist/linear/encode-linear.js'
import { Hessian } from '../../dist/linear/hessian.js'
import { OutputWeights } from '../../dist/linear/output-weights.js'
import { QuantizedLinear } from '../../dist/linear/quantized-linear.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { lossCoefficient } from '../../dist/quantization/expected-loss.js'
import { planQuantizer } from '../../dist/quantizers/plan-quantizer.js'
import { planPvq } from '../../dist/quantizers/pvq-rate.js'
import { randomNormal } from '../model/random-normal.js'

/** A of y = A z, z random: columns of falling size, in directions that have nothing to do with the axes. */
function mixing(random: RandomSource, size: number, decay: number): Float32Array {
  return randomNormal(random, size * size).map((value, i) => value * Math.exp((-decay * (i % size)) / size))
}

const dot = (a: Float32Array, b: Float32Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

/** A z, `rows` rows of A. */
function product(a: Float32Array, z: Float32Array, rows: number): Float32Array {
  return Float32Array.from({ length: rows }, (_, i) => dot(a.subarray(i * z.length, (i + 1) * z.length), z))
}

const [rows, columns, tokens] = [96, 64, 1500]

/** Gradients g and inputs x whose lengths depend on each other, while their directions do not. */
function sampleTokens(random: RandomSource) {
  const [left, right] = [mixing(random, rows, 1), mixing(random, columns, 3)]
  return Array.from({ length: tokens }, () => {
    const length = Math.exp(randomNormal(random, 1)[0] / 2)
    const vector = (a: Float32Array, size: number) =>
      product(a, randomNormal(random, size), size).map(value => value * length)
    return { g: vector(left, rows), x: vector(right, columns) }
  })
}

type Tokens = ReturnType<typeof sampleTokens>

function secondMoments(vectors: Float32Array[]): Hessian {
  const moments = new Hessian(vectors[0].length)
  moments.add(Float32Array.from(vectors.flatMap(vector => [...vector])), vectors.length)
  return moments
}

const fisherOf = (all: Tokens) =>
  secondMoments(
    all.map(({ g, x }) => {
      const length = Math.sqrt(dot(g, g))
      return x.map(value => value * length)
    }),
  )

/** 1/2 E[(g^T D x)^2]. */
function lossOf(error: Float32Array, all: Tokens): number {
  return all.reduce((sum, { g, x }) => sum + dot(g, product(error, x, rows)) ** 2 / 2 / all.length, 0)
}

const dense = (weight: Float32Array) => ({
  format: 'f32' as const,
  rows,
  columns,
  data: new Uint8Array(weight.buffer),
})

describe('the expected loss of rounding a layer', () => {
  const seed = 61

  it('is that of independent errors where inputs are not correlated', async () => {
    const random = new RandomSource(seed)
    const all = sampleTokens(random).map(({ g, x }) => {
      const length = Math.sqrt(dot(x, x) / columns)
      return { g, x: randomNormal(random, columns).map((value, j) => value * length * (1 + (j % 5))) }
    })
    // Rows of different sizes. F without its noise off the diagonal: feedback has nothing to work with.
    const weight = randomNormal(random, rows * columns).map((value, i) => value * (1 + Math.floor(i / columns) / 30))
    const inputHessian = fisherOf(all)
      .mean()
      .map((value, i) => (i % (columns + 1) === 0 ? value : 0))
    const outputHessian = secondMoments(all.map(({ g }) => g)).mean()
    const coefficient = await lossCoefficient(dense(weight), { inputHessian, outputHessian }, { rotationSeed: null })
    const relativeError = 0.02
    let measured = 0
    const draws = 8
    for (let draw = 0; draw < draws; draw++) {
      const error = randomNormal(random, rows * columns)
      for (let i = 0; i < rows; i++) {
        const row = weight.subarray(i * columns, (i + 1) * columns)
        const deviation = Math.sqrt((relativeError * dot(row, row)) / columns)
        for (let j = 0; j < columns; j++) error[i * columns + j] *= deviation
      }
      measured += lossOf(error, all) / draws
    }
    const ratio = measured / (relativeError * coefficient)
    assert.ok(ratio > 0.88 && ratio < 1.1, `seed ${seed}: ${ratio}`)
  })

  for (const coupled of [false, true]) {
    it(`is what guided rounding costs, ${coupled ? 'rows together' : 'row by row'}, at every rate`, async () => {
      const random = new RandomSource(seed + 1)
      const all = sampleTokens(random)
      const [hessian, outputs] = [fisherOf(all), secondMoments(all.map(({ g }) => g))]
      const sensitivity = { inputHessian: hessian.mean(), outputHessian: outputs.mean() }
      const weight = randomNormal(random, rows * columns)
      const coefficient = await lossCoefficient(dense(weight), sensitivity, { rotationSeed: 3, coupled })
      for (const bits of [2.5, 3.5, 4.5]) {
        const total = bits * rows * columns
        const { stored } = await encodeLinear(dense(weight), {
          quantizer: planQuantizer('pvq', rows, columns, total),
          rotationSeed: 3,
          hessian,
          outputWeights: coupled ? new OutputWeights(outputs.mean(), rows) : undefined,
        })
        const approximation = new QuantizedLinear(stored).dequantize()
        const error = weight.map((value, i) => value - approximation[i])
        const ratio = lossOf(error, all) / (coefficient * planPvq(rows, columns, total).error)
        assert.ok(ratio > 0.6 && ratio < 1.4, `seed ${seed}, ${bits} bits: ${ratio}`)
      }
    })
  }
})
