// Encoding of Gaussian weights on one thread: the search alone, or rounding guided by a Hessian, its factorization included.
import { pvq } from '../../../dist/index.js'
import { native } from '../../../dist/native.js'
import { pvqSegments } from '../../../dist/quantizers/pvq-levels.js'
import { gaussians } from '../random-weights.mjs'

export async function prepare({ rows, columns, code, calibrated, sweeps, threads }) {
  native.setThreadCount(threads)
  const segments = pvqSegments(pvq(code).segmentShapes(columns), columns)
  const values = gaussians(rows * columns, 1)
  const units = rows * columns
  if (!calibrated) return { action: () => ({ run: () => native.pvqEncode(values, rows, columns, segments), units }) }

  const hessian = new native.Hessian(columns)
  hessian.add(gaussians(2 * columns * columns, 5), 2 * columns)
  const mean = hessian.mean()
  const settings = { ridge: 0.01, moves: 8, sweeps, feedback: true, ordered: true }
  const run = async () => {
    await new native.PvqGuide(columns, segments, mean, settings).encodeAsync(values, rows)
  }
  return { action: () => ({ run, units }) }
}
