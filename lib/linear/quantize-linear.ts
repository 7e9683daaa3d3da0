/**
 * Quantizes one linear layer: rotation, codes at a rate with everything counted, and a low-rank correction of what the codes
 * got wrong, kept under `rank: 'auto'` only where it beats the same bits spent on the codes.
 */
import { type WarningListener, warn } from '../device.js'
import { PyramidionError } from '../errors.js'
import type { DenseWeights, Lattice } from '../native.js'
import { checkInteger, checkMatrix } from '../quantizers/matrix-values.js'
import { planQuantizer } from '../quantizers/plan-quantizer.js'
import { checkLattice } from '../quantizers/pvq.js'
import type { EncodeOptions, Quantizer } from '../quantizers/quantizer.js'
import { type Activations, checkActivations } from './activations.js'
import { type ChooseRankOptions, chooseRank } from './automatic-rank.js'
import { type EncodeLinearOptions, encodeLinear } from './encode-linear.js'
import { EncodingDevice } from './encoding-device.js'
import { Hessian } from './hessian.js'
import { checkLayout, type Layout } from './layout.js'
import { chooseLayout } from './layout-choice.js'
import { checkCalibrated, DEFAULT_REFITS, type LowRankMethod, lowRankBits, lowRankMethods } from './low-rank.js'
import { choosePlace, type DeviceOptions, place } from './placement.js'
import { checkBias, QuantizedLinear } from './quantized-linear.js'
import { checkSeed } from './rotation.js'
import { type Rounding, roundings } from './rounding-guide.js'

export interface LowRankOptions {
  method: LowRankMethod
  /** At most the smaller side of the matrix; `auto` needs `bits` and may decide for none. */
  rank: number | 'auto'
  /**
   * Times that factors and codes are fitted to each other: B A begins as the leading part of W, then W - B A is coded and B A
   * fitted to what that leaves of W. Each time beyond the first takes as long as the first. 0: codes of W itself, factors of
   * their error. Default 1.
   */
  refits?: number
}

export interface QuantizeLinearOptions extends EncodeOptions, DeviceOptions {
  /** Bits a weight of everything stored for the layer, 1 to 8. Give this or `quantizer`. */
  bits?: number
  /** Of PVQ groups of 16 chosen for `bits`, from 1.4 bits a weight up. Default `integer`. */
  lattice?: Lattice
  /** Exactly this quantizer; a correction comes on top. */
  quantizer?: Quantizer
  /**
   * Statistics of the layer's inputs, as the model has them. PVQ codes are then rounded so that the error of the outputs is
   * small, and `l2qer` and `qera` weigh errors with them.
   */
  hessian?: Hessian
  /** Default `guided` where there is a hessian; `nearest` rounds for the weights alone. */
  rounding?: Rounding
  lowRank?: LowRankOptions
  /** Default `hadamard` for PVQ; `none` for the baselines, as the field defines them. */
  rotation?: 'hadamard' | 'none'
  /** Seed of the rotation's signs, 0 to 2^32 - 1. Default 0. Layers that share an input should share it. */
  seed?: number
  /** What the layer's inputs are rounded to when it runs. Default `float`. */
  activations?: Activations
  /** The form the codes have in memory. Default `auto`. */
  layout?: Layout
  /** outFeatures values, kept as they are. */
  bias?: Float32Array
}

/** Beyond this they gain nothing. */
const MOST_REFITS = 100

/** Bits a weight that may be asked for. */
export const minimumBits = 1
export const maximumBits = 8

/**
 * Quantizes `weight` (outFeatures x inFeatures, row-major); it is not changed, and must not be until the promise settles.
 *
 * @throws INVALID_ARGUMENT, INVALID_SHAPE, EMPTY, NOT_FINITE, RATE_OUT_OF_RANGE and CALIBRATION_REQUIRED and
 *   DEVICE_UNAVAILABLE before any work starts; ABORTED; with a device UNSUPPORTED_FORMAT for codes without a kernel,
 *   DEVICE_ERROR, OUT_OF_MEMORY.
 */
export async function quantizeLinear(
  weight: Float32Array,
  { outFeatures, inFeatures }: { outFeatures: number; inFeatures: number },
  options: QuantizeLinearOptions,
): Promise<QuantizedLinear> {
  checkMatrix(weight, outFeatures, inFeatures, 'weight')
  checkBias(options.bias, outFeatures)
  checkActivations(options.activations ?? 'float')
  checkLayout(options.layout ?? 'auto')
  const settings = resolveSettings(outFeatures, inFeatures, options)
  const chosen = await choosePlace(options)
  const dense: DenseWeights = {
    format: 'f32',
    rows: outFeatures,
    columns: inFeatures,
    data: new Uint8Array(weight.buffer, weight.byteOffset, weight.byteLength),
  }
  const onWarning = onceEach(options.onWarning ?? warn)
  const device = EncodingDevice.forLayer(chosen, options.device ?? 'cpu', onWarning)
  const { stored } =
    'rank' in settings
      ? await chooseRank(dense, { ...settings, device })
      : await encodeLinear(dense, { ...settings, device })
  const { bias, activations = 'float' } = options
  const placement = await place(
    chosen,
    stored,
    { activations, bias, layout: options.layout },
    { ...options, onWarning },
  )
  const layout = await chooseLayout(options.layout ?? 'auto', stored, activations, placement)
  return new QuantizedLinear(stored, bias, activations, placement, layout)
}

/** Codes and product may be kept from a GPU for the same reason. */
function onceEach(listener: WarningListener): WarningListener {
  const said = new Set<string>()
  return message => {
    if (!said.has(message)) listener(message)
    said.add(message)
  }
}

/** What is left to do once everything that can be wrong has been checked. */
type Settings = EncodeLinearOptions | ChooseRankOptions

function resolveSettings(rows: number, columns: number, options: QuantizeLinearOptions): Settings {
  const { bits, lattice, hessian, rounding, lowRank, seed = 0, signal, onProgress } = options
  checkSeed(seed)
  checkRate(options)
  checkHessian(hessian, columns)
  if (lowRank !== undefined) checkLowRank(lowRank, rows, columns, hessian, bits)
  const rotated =
    (options.rotation ?? (options.quantizer && options.quantizer.name !== 'pvq' ? 'none' : 'hadamard')) === 'hadamard'
  const common = { hessian, rounding, signal, onProgress, rotationSeed: rotated ? seed : null }
  const refits = lowRank?.refits ?? DEFAULT_REFITS
  if (lowRank?.rank === 'auto') {
    const total = bits! * rows * columns
    return { ...common, rank: 'auto', method: lowRank.method, refits, quantizerName: 'pvq', lattice, bits: total }
  }
  const rank = lowRank?.rank ?? 0
  const correction = rank > 0 ? { method: lowRank!.method, rank, refits } : undefined
  const quantizer =
    options.quantizer ??
    planQuantizer('pvq', rows, columns, bits! * rows * columns - lowRankBits(rows, columns, rank), lattice)
  return { ...common, quantizer, lowRank: correction }
}

function checkRate({ bits, quantizer, lattice, rotation, rounding }: QuantizeLinearOptions): void {
  if ((bits === undefined) === (quantizer === undefined)) {
    throw new PyramidionError('INVALID_ARGUMENT', 'options must have either bits or quantizer')
  }
  if (bits !== undefined) checkBits('bits', bits)
  if (lattice !== undefined) {
    checkLattice(lattice)
    if (quantizer !== undefined) throw new PyramidionError('INVALID_ARGUMENT', 'lattice needs bits, not quantizer')
  }
  if (rounding !== undefined && !roundings.includes(rounding)) {
    throw new PyramidionError('INVALID_ARGUMENT', `rounding must be guided or nearest, got ${rounding}`)
  }
  if (rotation !== undefined && rotation !== 'hadamard' && rotation !== 'none') {
    throw new PyramidionError('INVALID_ARGUMENT', `rotation must be hadamard or none, got ${rotation}`)
  }
}

/** Throws RATE_OUT_OF_RANGE unless bits is a number from 1 to 8. */
export function checkBits(name: string, bits: number): void {
  if (!(typeof bits === 'number' && bits >= minimumBits && bits <= maximumBits)) {
    throw new PyramidionError(
      'RATE_OUT_OF_RANGE',
      `${name} must be between ${minimumBits} and ${maximumBits}, got ${bits}`,
    )
  }
}

function checkHessian(hessian: Hessian | undefined, columns: number): void {
  if (hessian === undefined) return
  if (!(hessian instanceof Hessian)) throw new PyramidionError('INVALID_ARGUMENT', 'hessian must be a Hessian')
  if (hessian.inFeatures !== columns) {
    throw new PyramidionError(
      'INVALID_SHAPE',
      `hessian must have the ${columns} inFeatures of the layer, got ${hessian.inFeatures}`,
    )
  }
  if (hessian.tokens === 0) throw new PyramidionError('EMPTY', 'hessian has seen no inputs; call add first')
}

function checkLowRank(lowRank: LowRankOptions, rows: number, columns: number, hessian?: Hessian, bits?: number): void {
  const { method, rank, refits } = lowRank
  if (!lowRankMethods.includes(method)) {
    throw new PyramidionError('INVALID_ARGUMENT', `lowRank.method must be lqer, l2qer or qera, got ${method}`)
  }
  if (rank === 'auto') {
    if (bits === undefined) throw new PyramidionError('INVALID_ARGUMENT', 'lowRank.rank auto needs bits, not quantizer')
  } else checkInteger('lowRank.rank', rank, 0, Math.min(rows, columns))
  if (refits !== undefined) checkInteger('lowRank.refits', refits, 0, MOST_REFITS)
  checkCalibrated(method, hessian !== undefined)
}
