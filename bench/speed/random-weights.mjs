// Random weights for timing: a few rows are quantized as any matrix would be, and stand one under the other as often as it takes.
// Whether rows repeat makes no difference to a product, which reads every one of them from its own place.
import { quantizeLinear } from '../../dist/index.js'
import { readLinear } from '../../dist/linear/linear-tensors.js'

const TILE_ROWS = 64

/** Mulberry32 through Box and Muller: the same values in every run. */
export function gaussians(count, seed, deviation = 1) {
  let state = seed
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return Float32Array.from({ length: count }, () => {
    return deviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  })
}

/** What a folder would store of a matrix quantized with `options` of quantizeLinear. */
export async function randomStored(rows, columns, options) {
  const tile = await quantizeLinear(
    gaussians(TILE_ROWS * columns, 1, 0.02),
    { outFeatures: TILE_ROWS, inFeatures: columns },
    options,
  )
  const { weights, ...rest } = await readLinear(tile.metadata, tile.tensors())
  const repeats = Math.ceil(rows / TILE_ROWS)
  return {
    ...rest,
    weights: {
      ...weights,
      rows,
      codes: repeated(weights.codes, repeats).subarray(0, (weights.codes.length / TILE_ROWS) * rows),
      rowScale: repeated(weights.rowScale, repeats).subarray(0, rows),
    },
  }
}

function repeated(part, times) {
  const whole = new part.constructor(part.length * times)
  for (let i = 0; i < times; i++) whole.set(part, i * part.length)
  return whole
}
