/** Codes of any format back to a dense matrix. */
import { native, type Weights } from '../native.js'

/** The rows x columns matrix that `weights` stand for. */
export function decodeAll(weights: Weights): Float32Array {
  const out = new Float32Array(weights.rows * weights.columns)
  native.decodeRows(weights, 0, weights.rows, out)
  return out
}

/** The same on other threads. */
export async function decodeAllAsync(weights: Weights): Promise<Float32Array> {
  const out = new Float32Array(weights.rows * weights.columns)
  await native.decodeRowsAsync(weights, 0, weights.rows, out)
  return out
}
