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
  if (rotationSeed === null) return moments
  const rotation = sharedRotation(width, rotationSeed)
  const turned = Float32Array.from(moments)
  await rotation.applyAsync(turned, width, false)
  transpose(turned, width)
  await rotation.applyAsync(turned, width, false)
  for (let i = 0; i < width; i++) {
    for (let j = 0; j <= i; j++) {
      moments[i * width + j] = (turned[i * width + j] + turned[j * width + i]) / 2
      moments[j * width + i] = moments[i * width + j]
    }
  }
  return moments
}

function transpose(matrix: Float32Array, width: number): void {
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < i; j++) {
      const value = matrix[i * width + j]
      matrix[i * width + j] = matrix[j * width + i]
      matrix[j * width + i] = value
    }
  }
}
