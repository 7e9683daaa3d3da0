/** What calibration gathers. */

export interface NativeHessian {
  /**
   * Accumulates sum w x x^T, and the l2qer statistic max over calls of mean |x|. x: tokens x width; weights, one a token: all 1
   * where absent.
   */
  add(x: Float32Array, tokens: number, weights?: Float32Array): void
  addAsync(x: Float32Array, tokens: number, weights?: Float32Array): Promise<void>
  /** width x width, row-major: the mean E[w x x^T], the same bits however the tokens came. */
  mean(): Float64Array
  /** max over add() calls of the mean over tokens of |x|, a column each. */
  meanMagnitude(): Float64Array
  readonly tokens: number
}

export interface NativeDriftMoment {
  /** Accumulates sum (x - y) z^T. x, y: tokens x width; z: tokens x inputWidth. */
  add(x: Float32Array, y: Float32Array, z: Float32Array, tokens: number): void
  /** width x inputWidth, row-major: the mean E[(x - y) z^T]. */
  mean(): Float64Array
  readonly tokens: number
}
