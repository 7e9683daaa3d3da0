import assert from 'node:assert/strict'
import { chooseRank } from '../../dist/linear/automatic-rank.js'
import { encodeLinear, remainingError } from '../../dist/linear/encode-linear.js'
import { Hessian } from '../../dist/linear/hessian.js'
import { OUTPUT_SHARE, OutputWeights } from '../../dist/linear/output-weights.js'
import { RandomSource } from '../../dist/model/random-source.js'
import type { DenseWeights } from '../../dist/native.js'
import { planQuantizer } from '../../dist/quantizers/plan-quantizer.js'
import { randomNormal } from '../model/random-normal.js'

const [rows, columns] = [48, 64]

function dense(values: Float32Array): DenseWeights {
  return { format: 'f32', rows, columns, data: new Uint8Array(values.buffer) }
}

/** Second moments of inputs that have something in common, or nothing at 0. */
function inputMoments(random: RandomSource, strength: number): Hessian {
  const tokens = 400
  const x = randomNormal(random, tokens * columns)
  for (let t = 0; t < tokens; t++) {
    const common = strength * (random.next() - 0.5)
    for (let i = 0; i < columns; i++) x[t * columns + i] += common * ((i % 5) - 2)
  }
  const hessian = new Hessian(columns)
  hessian.add(x, tokens)
  return hessian
}

/** E[g g^T] of outputs of which the last eighth counts for next to nothing. */
function outputMoments(random: RandomSource): Float64Array {
  const samples = 300
  const g = randomNormal(random, samples * rows)
  const moments = new Float64Array(rows * rows)
  for (let s = 0; s < samples; s++) {
    const common = 2 * (random.next() - 0.5)
    const of = (row: number) => (g[s * rows + row] + common) * (row < (7 * rows) / 8 ? 1 : 0.01)
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < rows; j++) moments[i * rows + j] += (of(i) * of(j)) / samples
    }
  }
  return moments
}

/** tr(G E H E^T) / rows by its definition, for G as rounding damps it. */
function twoSidedError(error: Float32Array, outputs: Float64Array, inputs: Float64Array): number {
  let trace = 0
  for (let i = 0; i < rows; i++) trace += outputs[i * rows + i]
  let sum = 0
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      const weight = (OUTPUT_SHARE * outputs[i * rows + j] * rows) / trace + (i === j ? 1 - OUTPUT_SHARE : 0)
      for (let a = 0; a < columns; a++) {
        let mixed = 0
        for (let b = 0; b < columns; b++) mixed += inputs[a * columns + b] * error[j * columns + b]
        sum += weight * error[i * columns + a] * mixed
      }
    }
  }
  return sum / rows
}

describe('weighed outputs', () => {
  it('lead a qera correction to where the loss is', async () => {
    const seed = 51
    const random = new RandomSource(seed)
    const weight = dense(randomNormal(random, rows * columns))
    const hessian = inputMoments(random, 4)
    const gradients = outputMoments(random)
    const lossError = async (outputWeights?: OutputWeights) => {
      const { stored } = await encodeLinear(weight, {
        quantizer: planQuantizer('pvq', rows, columns, 2.5 * rows * columns),
        rotationSeed: 7,
        lowRank: { method: 'qera', rank: 4, refits: 0 },
        rounding: 'nearest',
        hessian,
        outputWeights,
      })
      return twoSidedError((await remainingError(weight, stored)).error, gradients, hessian.mean())
    }
    const [without, withWeights] = [await lossError(), await lossError(new OutputWeights(gradients, rows))]
    assert.ok(withWeights < 0.97 * without, `seed ${seed}: ${withWeights} weighed, ${without} not`)
  })

  it('keep no correction that only helps outputs that do not count', async () => {
    const seed = 52
    const random = new RandomSource(seed)
    const values = randomNormal(random, rows * columns)
    const direction = randomNormal(random, columns)
    for (let row = (7 * rows) / 8; row < rows; row++) {
      for (let column = 0; column < columns; column++) values[row * columns + column] += 20 * direction[column]
    }
    const weight = dense(values)
    const hessian = inputMoments(random, 0)
    const gradients = outputMoments(random)
    const chosen = (outputWeights?: OutputWeights) =>
      chooseRank(weight, {
        ...{ rank: 'auto', method: 'qera', refits: 0, quantizerName: 'pvq', rounding: 'nearest', rotationSeed: 7 },
        ...{ bits: 4 * rows * columns, hessian, outputWeights },
      })
    const [blind, seeing] = [await chosen(), await chosen(new OutputWeights(gradients, rows))]
    assert.ok(blind.stored.lowRank !== undefined, `seed ${seed}: without the weights a correction is kept`)
    assert.equal(seeing.stored.lowRank, undefined, `seed ${seed}`)
    const [worse, better] = await Promise.all(
      [blind, seeing].map(async ({ stored }) =>
        twoSidedError((await remainingError(weight, stored)).error, gradients, hessian.mean()),
      ),
    )
    assert.ok(better < worse, `seed ${seed}: ${better} without a correction, ${worse} with one`)
  })
})
