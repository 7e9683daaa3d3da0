/** Decides, from shapes and what is known of losses, what becomes of every tensor, so that the linear layers take the bits asked for. */
import type { ModelConfig } from '../checkpoint/model-config.js'
import { PyramidionError } from '../errors.js'
import { lowRankBits } from '../linear/low-rank.js'
import { requiredTensors, type TensorRequirement } from '../model/tensor-requirements.js'
import { plannedPvq, planQuantizer } from '../quantizers/plan-quantizer.js'
import { efficientPlans, type PvqPlan } from '../quantizers/pvq-rate.js'
import type { Quantizer } from '../quantizers/quantizer.js'
import { allocate } from './allocation.js'
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
  /** The KL divergence, in nats a token, that its rounding is expected to add; where losses are known. */
  expectedLoss?: number
}

export interface TensorPlan extends TensorRequirement {
  /** Absent for a tensor that is kept. */
  target?: TensorTarget
}

export interface PlanSettings extends Pick<QuantizePayload, 'quantizer' | 'lattice' | 'rank' | 'embeddingBits'> {
  /** Bits a weight of the linear layers, the mean over all. */
  bits: number
}

/** Number of values. */
export const sizeOf = ({ shape }: { shape: number[] }): number => shape.reduce((product, size) => product * size, 1)

/**
 * A plan in the order of computation. Without `coefficients` all linear layers get the same rate; with them, by the names of
 * weights (expected-loss.ts), the rates of least expected loss.
 *
 * @throws RATE_OUT_OF_RANGE, or INVALID_ARGUMENT for a rank that a layer cannot have.
 */
export function planTensors(
  config: ModelConfig,
  settings: PlanSettings,
  coefficients?: ReadonlyMap<string, number>,
): TensorPlan[] {
  const tensors = requiredTensors(config)
  const linear = tensors.filter(({ role }) => role === 'linear')
  checkRank(linear, settings.rank)
  const targets = coefficients ? allocatedTargets(linear, settings, coefficients) : uniformTargets(linear, settings)
  return tensors.map(tensor => {
    if (tensor.role === 'vector') return tensor
    return {
      ...tensor,
      target: tensor.role === 'linear' ? targets.get(tensor.name) : embeddingTarget(tensor, settings),
    }
  })
}

function checkRank(linear: TensorRequirement[], rank: number | 'auto'): void {
  for (const { name, shape } of linear) {
    if (rank === 'auto' || rank <= Math.min(...shape)) continue
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `rank must be at most ${Math.min(...shape)}, the smaller side of ${name}, got ${rank}`,
    )
  }
}

function embeddingTarget({ shape: [rows, columns] }: TensorRequirement, settings: PlanSettings) {
  const { embeddingBits, quantizer: name, lattice } = settings
  if (embeddingBits === undefined) return undefined
  const quantizer = planQuantizer(name, rows, columns, embeddingBits * rows * columns, lattice)
  return { bits: quantizer.storedBits(rows, columns), rank: 0, quantizer }
}

/** What whole groups and bytes leave of one tensor's share goes to the next, so that the mean is met. */
function uniformTargets(linear: TensorRequirement[], settings: PlanSettings): Map<string, TensorTarget> {
  const { bits, rank, quantizer: name, lattice } = settings
  let carry = 0
  const targets = linear.map(({ name: weight, shape: [rows, columns] }): [string, TensorTarget] => {
    const share = bits * rows * columns
    if (rank === 'auto') return [weight, { bits: share, rank }]
    const limit = LARGEST_CARRY * rows * columns
    const target = share + Math.max(-limit, Math.min(limit, carry))
    const quantizer = planQuantizer(name, rows, columns, target - lowRankBits(rows, columns, rank), lattice)
    const taken = quantizer.storedBits(rows, columns) + lowRankBits(rows, columns, rank)
    carry += share - taken
    return [weight, { bits: taken, rank, quantizer }]
  })
  return new Map(targets)
}

/**
 * Rates a single layer may have, in bits a weight of its codes: losses are foreseen to second order only, which holds less the
 * coarser a layer becomes.
 */
function rateRange(bits: number): { minimum: number; maximum: number } {
  return { minimum: Math.max(0.95, Math.min(1.5, bits - 1)), maximum: Math.min(8, Math.max(6, bits + 2)) }
}

function allocatedTargets(
  linear: TensorRequirement[],
  { bits, rank, lattice }: PlanSettings,
  coefficients: ReadonlyMap<string, number>,
): Map<string, TensorTarget> {
  const { minimum, maximum } = rateRange(bits)
  const byShape = new Map<string, PvqPlan[]>()
  const plansOf = (rows: number, columns: number): PvqPlan[] => {
    const key = `${rows} ${columns}`
    const plans = byShape.get(key) ?? efficientPlans(rows, columns, minimum, maximum, lattice)
    byShape.set(key, plans)
    return plans
  }
  const factorBits = ([rows, columns]: number[]) => (rank === 'auto' ? 0 : lowRankBits(rows, columns, rank))
  const items = linear.map(({ name, shape: [rows, columns] }) => {
    const points = plansOf(rows, columns)
    if (points.length > 0) return { coefficient: coefficients.get(name) ?? 0, points }
    throw new PyramidionError('RATE_OUT_OF_RANGE', `${name}, ${rows} x ${columns}, cannot be stored in ${maximum} bits`)
  })
  const budget = linear.reduce((sum, tensor) => sum + bits * sizeOf(tensor) - factorBits(tensor.shape), 0)
  const chosen = allocate(items, budget)
  const targets = linear.map(({ name, shape }, i): [string, TensorTarget] => {
    const plan = items[i].points[chosen[i]]
    const quantizer = rank === 'auto' ? undefined : plannedPvq(plan, shape[1])
    const expectedLoss = items[i].coefficient * plan.error
    return [name, { bits: plan.bits + factorBits(shape), rank, quantizer, expectedLoss }]
  })
  return new Map(targets)
}
