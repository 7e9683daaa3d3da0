/** Second moments as a rotated layer sees them: V M V^T for M = E[x x^T] of the inputs that the model has. */
import { sharedRotation } from './rotation.js'

/**
 * `moments`: width x width, symmetric; it is turned in place. Single precision inside, whose error is far below any ridge.
 * `rotationSeed`: null for no rotation.
 */
export async function rotateMoments(
  moments: Float64Array,
  width: number,
  rotationSeed: number | null,
): Promise<Float64Array> {
  if (rotationSeed !== null) await sharedRotation(width, rotationSeed).turnMomentsAsync(moments)
  return moments
}
