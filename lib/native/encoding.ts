/** Values to codes, and what guides them. */
import type { JobControl } from './linear.js'

/** How rounding is guided by a Hessian; see native/core/calibrated. */
export interface GuideSettings {
  /** Added to the diagonal of H, as a share of its mean. */
  ridge: number
  /** Pulse moves a group and sweep, at most. */
  moves: number
  /** Sweeps of coordinate descent after the one of error feedback. */
  sweeps: number
  /** Whether a group makes up for the errors of those before it; without, only the sweeps of coordinate descent do. */
  feedback: boolean
  /** Whether groups are rounded by decreasing diagonal of H; without, in the order of the columns. */
  ordered: boolean
}

/** How the errors of a matrix's rows are weighed together; see native/core/calibrated/row_coupling.h. */
export interface RowCoupling {
  /** G = E[g g^T] of the gradients at the layer's outputs: rows x rows. */
  outputHessian: Float64Array
  /** What of G counts beside the identity of the same trace, 0 to 0.9999. */
  share: number
}

/** Rounds rows under one Hessian, for one layout of segments. */
export interface NativePvqGuide {
  /**
   * values: rows x columns. The first call factors the Hessian. With `coupling`, values are all rows of the matrix. `onGpu` as
   * of {@link NativeAddon.pvqEncodeAsync}.
   */
  encodeAsync(
    values: Float32Array,
    rows: number,
    control?: JobControl,
    coupling?: RowCoupling,
    onGpu?: boolean,
  ): Promise<PvqRows>
  /** Lets go of what a GPU keeps for it. */
  release(): void
}

export type LowRankScaling =
  | { kind: 'identity' }
  /** s, one a column: SVD of E diag(s). */
  | { kind: 'diagonal'; scale: Float64Array }
  /** E[x x^T], width x width, to which ridge * mean(diagonal) is added: SVD of E M, M M^T = H. */
  | { kind: 'hessian'; hessian: Float64Array; ridge: number }

export interface PvqRows {
  codes: Uint8Array
  rowScale: Uint16Array
}
export interface IntegerSettings {
  bits: number
  groupSize: number
  symmetric: boolean
}
export interface IntegerRows {
  codes: Uint8Array
  scales: Uint16Array
  minimums?: Uint16Array
}
export interface MxintSettings {
  bits: number
  blockSize: number
}
export interface MxintRows {
  codes: Uint8Array
  exponents: Uint8Array
}
