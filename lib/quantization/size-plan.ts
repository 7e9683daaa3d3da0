/**
 * Meets a size: the weight files of the whole model, headers included, take at most so many bytes and hardly less. What is not
 * quantized takes what it takes; embedding and head are quantized too, since at the sizes people ask for they are a large part
 * of a small model.
 */
import { Fields } from '../checkpoint/fields.js'
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ModelSource, TensorInfo } from '../checkpoint/model-source.js'
import { parseQuantizedMetadata, storedParts } from '../checkpoint/quantized-layout.js'
import type { RotationMetadata } from '../checkpoint/quantized-metadata.js'
import { tensorBytes } from '../checkpoint/tensor-format.js'
import { type WeightParts, weightFileBytes } from '../checkpoint/weight-files.js'
import { PyramidionError } from '../errors.js'
import { formatBytes } from '../format-bytes.js'
import { lowRankBits } from '../linear/low-rank.js'
import { maximumBits, minimumBits } from '../linear/quantize-linear.js'
import { requiredTensors } from '../model/tensor-requirements.js'
import { type PlanSettings, planTensors, type TensorPlan } from './quantize-plan.js'

/**
 * Bits a weight that embedding and head get beyond the linear layers. On models/tales their expected loss a weight is as much
 * larger as 2.2 bits make up for.
 */
const EMBEDDING_MARGIN = 2
/** Of the size, what may be left over. */
const CLOSE_ENOUGH = 2e-4
const MOST_STEPS = 24

export interface SizeSettings extends Omit<PlanSettings, 'bits'> {
  /** Of the quantized weights; null for none. */
  rotationSeed: number | null
}

/**
 * The plan whose weight files come closest to `size` bytes from below. Embedding and head get `embeddingBits`, or
 * EMBEDDING_MARGIN bits more than the linear layers.
 *
 * @throws INVALID_ARGUMENT for rank `auto`, whose bytes are not known before; RATE_OUT_OF_RANGE when the model cannot be made that small, or is smaller at the highest rate.
 */
export function planForSize(
  source: ModelSource,
  settings: SizeSettings,
  size: number,
  coefficients?: ReadonlyMap<string, number>,
): { plan: TensorPlan[]; bits: number } {
  const at = (bits: number) => {
    const embeddingBits = settings.embeddingBits ?? Math.min(maximumBits, bits + EMBEDDING_MARGIN)
    const plan = planTensors(source.config, { ...settings, bits, embeddingBits }, coefficients)
    return { plan, bits, bytes: plannedBytes(source, plan, settings.rotationSeed) }
  }
  let low = at(leastBits(source.config, settings.rank))
  let high = at(maximumBits)
  if (size < low.bytes || size > high.bytes / (1 - CLOSE_ENOUGH)) {
    throw new PyramidionError(
      'RATE_OUT_OF_RANGE',
      `size must be from ${low.bytes} (${formatBytes(low.bytes)}) to ${high.bytes} bytes (${formatBytes(high.bytes)}) for ` +
        `this model with these settings, got ${size}`,
    )
  }
  if (high.bytes <= size) return high
  // Bytes are nearly linear in bits, so that the line between two plans leads close; halving keeps it from creeping.
  for (let step = 0; step < MOST_STEPS && size - low.bytes > CLOSE_ENOUGH * size; step++) {
    const share = step % 3 === 2 ? 0.5 : (size - low.bytes) / (high.bytes - low.bytes)
    const next = at(low.bits + share * (high.bits - low.bits))
    if (next.bytes <= size) low = next
    else high = next
  }
  return low
}

/** Bits a weight with which the codes of every linear layer keep `minimumBits` beside a correction. */
function leastBits(config: ModelConfig, rank: number | 'auto'): number {
  if (rank === 'auto') throw new PyramidionError('INVALID_ARGUMENT', 'a size needs a rank that is known, not auto')
  const factors = requiredTensors(config)
    .filter(({ role }) => role === 'linear')
    .map(({ shape: [rows, columns] }) => lowRankBits(rows, columns, rank) / (rows * columns))
  return Math.min(maximumBits, minimumBits + Math.max(...factors))
}

/** Bytes of the weight files that a plan leads to. */
export function plannedBytes(source: ModelSource, plan: readonly TensorPlan[], rotationSeed: number | null): number {
  const rotation = rotationSeed === null ? null : { kind: 'hadamard' as const, seed: rotationSeed }
  const weights = plan.map((tensor): [string, WeightParts] => [tensor.name, partsOf(source, tensor, rotation)])
  return weightFileBytes(new Map(weights))
}

function partsOf(
  source: ModelSource,
  { name, shape, target }: TensorPlan,
  rotation: RotationMetadata | null,
): WeightParts {
  if (target === undefined) {
    const { format } = source.tensors.get(name)!
    // Block formats become f16.
    return { tensors: [storedTensor(name, format === 'f32' || format === 'bf16' ? format : 'f16', shape)] }
  }
  if (target.quantizer === undefined || target.rank === 'auto') {
    throw new PyramidionError('INTERNAL', `${name}: its rank is not known yet`)
  }
  const own = target.quantizer.metadata(shape[0], shape[1])
  const metadata = parseQuantizedMetadata(new Fields({ ...own, rotation, rank: target.rank }, name))
  return {
    tensors: storedParts(metadata).map(part => storedTensor(name + part.suffix, part.format, part.shape)),
    entry: JSON.stringify(metadata),
  }
}

function storedTensor(name: string, format: TensorInfo['format'], shape: number[]): TensorInfo {
  return { name, format, shape, bytes: tensorBytes(format, shape)! }
}
