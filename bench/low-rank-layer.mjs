// Where a low-rank correction earns its bits: one layer of 1024 x 4096 Gaussian weights whose inputs have a covariance with
// eigenvalues exp(-decay i / 4096) in a random basis. Every row has the same bits, everything counted: all in the codes, or some in a
// QERA correction. Prints the expected output error tr(D H D^T) / tr(W H W^T).
//
//   node bench/low-rank-layer.mjs [--bits 2,3] [--decays 0,6,12,24] [--rows 1024] [--columns 4096]
import { parseArgs } from 'node:util'
import { formatTable } from '../dist/cli/terminal.js'
import { Hessian, quantizeLinear } from '../dist/index.js'
import { sharedRotation } from '../dist/linear/rotation.js'
import { RandomSource } from '../dist/model/random-source.js'
import { native } from '../dist/native.js'

const { values: options } = parseArgs({
  options: {
    bits: { type: 'string', default: '2,3' },
    decays: { type: 'string', default: '0,6,12,24' },
    rows: { type: 'string', default: '1024' },
    columns: { type: 'string', default: '4096' },
  },
})
const [outFeatures, inFeatures] = [Number(options.rows), Number(options.columns)]
const variants = [
  ['none', undefined],
  ...[16, 64].map(rank => [`rank ${rank}`, { method: 'qera', rank }]),
  ['auto', { method: 'qera', rank: 'auto' }],
]
const random = normals(1)
const weight = random(outFeatures * inFeatures)

const lines = []
for (const decay of options.decays.split(',').map(Number)) {
  const hessian = inputs(decay)
  const metric = hessian.mean()
  for (const bits of options.bits.split(',').map(Number)) {
    for (const rounding of ['nearest', 'guided']) {
      const cells = []
      for (const [name, lowRank] of variants) {
        const layer = await quantizeLinear(
          weight,
          { outFeatures, inFeatures },
          { bits, hessian, rounding, lowRank, seed: 0 },
        )
        const difference = layer.dequantize().map((value, i) => value - weight[i])
        const [cost, whole] = [await expected(difference, metric), await expected(weight, metric)]
        const error = cost / whole
        cells.push(`${error.toFixed(5)}${name === 'auto' ? ` (rank ${layer.rank})` : ''}`)
      }
      lines.push([String(decay), String(bits), rounding, ...cells])
    }
  }
}
console.log(formatTable(['decay', 'bits', 'rounding', ...variants.map(([name]) => name)], lines))

function expected(matrix, metric) {
  return native.expectedErrorAsync(matrix, outFeatures, inFeatures, metric)
}

/** Second moments of 4 tokens a column. */
function inputs(decay) {
  const hessian = new Hessian(inFeatures)
  const basis = sharedRotation(inFeatures, 1234)
  const batch = 512
  for (let token = 0; token < 4 * inFeatures; token += batch) {
    const x = random(batch * inFeatures).map((value, i) => {
      return value * Math.exp((-decay * (i % inFeatures)) / inFeatures / 2)
    })
    basis.apply(x, batch, true)
    hessian.add(x, batch)
  }
  return hessian
}

/** Normally distributed numbers, by Box and Muller's method. */
function normals(seed) {
  const source = new RandomSource(seed)
  return count => {
    const values = new Float32Array(count)
    for (let i = 0; i < count; i++) {
      values[i] = Math.sqrt(-2 * Math.log(1 - source.next())) * Math.cos(2 * Math.PI * source.next())
    }
    return values
  }
}
