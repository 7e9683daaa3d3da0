/** Figures that say how far an approximation is from the original. */
import { PyramidionError } from '../errors.js'

export interface ErrorStatistics {
  /** Values compared. */
  count: number
  meanSquaredError: number
  /** Sum of squared errors over the sum of squares; 0 when both are 0, Infinity when only the latter is. */
  relativeSquaredError: number
  /** Largest absolute error. */
  maximumError: number
  /** -10 log10(relativeSquaredError), in decibels; Infinity for an exact copy. */
  signalToNoise: number
}

/** Compares `approximation` with `original`, value by value, in double precision. Throws INVALID_SHAPE or EMPTY. */
export function errorStatistics(original: Float32Array, approximation: Float32Array): ErrorStatistics {
  if (original.length !== approximation.length) {
    throw new PyramidionError(
      'INVALID_SHAPE',
      `approximation must have the ${original.length} values of original, got ${approximation.length}`,
    )
  }
  if (original.length === 0) throw new PyramidionError('EMPTY', 'original has no values')
  let squares = 0
  let errors = 0
  let maximumError = 0
  for (let i = 0; i < original.length; i++) {
    const error = original[i] - approximation[i]
    squares += original[i] * original[i]
    errors += error * error
    maximumError = Math.max(maximumError, Math.abs(error))
  }
  const relativeSquaredError = errors === 0 ? 0 : errors / squares
  return {
    count: original.length,
    meanSquaredError: errors / original.length,
    relativeSquaredError,
    maximumError,
    signalToNoise: -10 * Math.log10(relativeSquaredError),
  }
}
