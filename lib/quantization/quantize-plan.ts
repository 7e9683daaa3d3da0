/** Decides, from shapes alone, what becomes of every tensor of a model, so that the linear layers take the bits asked for. */
import type { ModelConfig } from '../checkpoint/model-config.js'
import { PyramidionError } from '../errors.js'
import { lowRankBits } from '../linear/low-rank.js'
import { requiredTensors, type TensorRequirement } from '../model/tensor-requirements.js'
import { planQuantizer } from '../quantizers/plan-quantizer.js'
import type { Quantizer } from '../quantizers/quantizer.js'
import type { QuantizePayload } from './quantize-model.js'

/** What a tensor may take from the one before it, in bits a weight: small ones must not pay for large ones. */
const LARGEST_CARRY = 0.05

/** What a quantized tensor may take. */
export interface TensorTarget {
  /** Everything stored for it, in bits. */
  bits: number
  rank: number | 'auto'
  /** Absent when the rank is not known yet. */
  quantizer?: Quantizer
}

export interface TensorPlan extends TensorRequirement {
  /** Absent for a tensor that is kept. */
  target?: TensorTarget
}

/** Number of values. */
export const sizeOf = ({ shape }: { shape: number[] }): number => shape.reduce((product, size) => product * size, 1)

/**
 * A plan in the order of computation. What whole groups and bytes leave of one tensor's share goes to the next, so that the
 * mean is met. Throws RATE_OUT_OF_RANGE, or INVALID_ARGUMENT for a rank that a layer cannot have.
 */
export function planTensors(config: ModelConfig, settings: QuantizePayload): TensorPlan[] {
  const { bits, embeddingBits, rank, quantizer: name, lattice } = settings
  let carry = 0
  return requiredTensors(config).map(tensor => {
    const [rows, columns] = tensor.shape
    if (tensor.role === 'vector') return tensor
    if (tensor.role !== 'linear') {
      if (embeddingBits === undefined) return tensor
      const share = embeddingBits * rows * columns
      return {
        ...tensor,
        target: { bits: share, rank: 0, quantizer: planQuantizer(name, rows, columns, share, lattice) },
      }
    }
    const share = bits * rows * columns
    if (rank === 'auto') return { ...tensor, target: { bits: share, rank } }
    if (rank > Math.min(rows, columns)) {
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `rank must be at most ${Math.min(rows, columns)}, the smaller side of ${tensor.name}, got ${rank}`,
      )
    }
    const limit = LARGEST_CARRY * rows * columns
    const target = share + Math.max(-limit, Math.min(limit, carry))
    const quantizer = planQuantizer(name, rows, columns, target - lowRankBits(rows, columns, rank), lattice)
    const taken = quantizer.storedBits(rows, columns) + lowRankBits(rows, columns, rank)
    carry += share - taken
    return { ...tensor, target: { bits: taken, rank, quantizer } }
  })
}
