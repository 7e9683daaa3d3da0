/**
 * One linear layer of a model: the weights to aim at, their codes, and what the report says about them. Everything that
 * calibration knows about a layer comes together here.
 */
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { chooseRank } from '../linear/automatic-rank.js'
import type { DriftCorrection } from '../linear/drift.js'
import { encodeLinear, remainingError } from '../linear/encode-linear.js'
import type { EncodingDevice } from '../linear/encoding-device.js'
import type { Hessian } from '../linear/hessian.js'
import { linearTensors } from '../linear/linear-tensors.js'
import { DEFAULT_REFITS, type LowRankMethod } from '../linear/low-rank.js'
import { OutputWeights } from '../linear/output-weights.js'
import type { Rounding } from '../linear/rounding-guide.js'
import { type DenseWeights, type GuideSettings, type Lattice, native } from '../native.js'
import { decodeAllAsync } from '../quantizers/decode.js'
import type { QuantizerName } from '../quantizers/plan-quantizer.js'
import type { EncodeOptions } from '../quantizers/quantizer.js'
import { storedBits } from '../quantizers/stored-bits.js'
import type { LayerReport } from './quantize-model.js'
import type { TensorTarget } from './quantize-plan.js'
import { roundingMetric } from './rounding-metric.js'

/** What calibration text says about a layer. */
export interface LayerStatistics {
  /** Of the inputs that it will have, those of the model as quantized so far. */
  hessian: Hessian
  /** For what was quantized before it. */
  correction?: DriftCorrection
  /** How much the loss depends on it: F = E[|g|^2 x x^T], in x in, and G = E[g g^T], out x out, for g at its outputs. */
  inputSensitivity?: Float64Array
  outputSensitivity?: Float64Array
}

export interface QuantizeLayerOptions extends EncodeOptions {
  name: string
  target: TensorTarget
  quantizerName: QuantizerName
  lattice?: Lattice
  rounding: Rounding
  guide?: Partial<GuideSettings>
  lowRank: LowRankMethod
  /** Default 1. */
  refits?: number
  /** Null for none. */
  rotationSeed: number | null
  statistics?: LayerStatistics
  device: EncodingDevice
}

/** Throws NOT_FINITE for weights that hold NaN or an infinity, ABORTED. */
export async function quantizeLayer(
  weight: DenseWeights,
  {
    name,
    target,
    quantizerName,
    lattice,
    lowRank: method,
    refits = DEFAULT_REFITS,
    statistics,
    ...options
  }: QuantizeLayerOptions,
): Promise<{ stored: StoredWeights; report: Omit<LayerReport, 'seconds'> }> {
  const { rows, columns } = weight
  const { hessian, correction, inputSensitivity, outputSensitivity } = statistics ?? {}
  const aim = correction ? dense(await correction.target(weight), rows, columns) : weight
  const metric = hessian && inputSensitivity && roundingMetric(hessian.mean(), inputSensitivity)
  const outputWeights = outputSensitivity && new OutputWeights(outputSensitivity, rows)
  const common = { ...options, name, hessian, metric, outputWeights }
  const { stored, relativeSquaredError } =
    target.rank === 'auto'
      ? await chooseRank(aim, { ...common, rank: 'auto', method, refits, quantizerName, lattice, bits: target.bits })
      : await encodeLinear(aim, {
          ...common,
          quantizer: target.quantizer!,
          lowRank: { method, rank: target.rank, refits },
        })
  const { metadata } = linearTensors(stored)
  const report: Omit<LayerReport, 'seconds'> = {
    name,
    rows,
    columns,
    bitsPerWeight: storedBits(metadata) / (rows * columns),
    rank: metadata.rank,
    relativeSquaredError: correction
      ? (await remainingError(weight, stored)).relativeSquaredError
      : relativeSquaredError,
  }
  if (target.expectedLoss !== undefined) report.expectedLoss = target.expectedLoss
  if (hessian === undefined) return { stored, report }
  // tr(A H A^T) / rows: the expected square of an output of A.
  const outputSquare = (matrix: Float32Array) => native.expectedErrorAsync(matrix, rows, columns, hessian.mean())
  const whole = await outputSquare(await decodeAllAsync(aim))
  const outputError = async (approximation: StoredWeights) =>
    whole === 0 ? 0 : (await outputSquare((await remainingError(aim, approximation)).error)) / whole
  report.outputError = await outputError(stored)
  if (target.rank === 0) {
    const nearest = { ...common, quantizer: target.quantizer!, rounding: 'nearest' as const, onProgress: undefined }
    report.nearestOutputError = await outputError((await encodeLinear(aim, nearest)).stored)
  }
  return { stored, report }
}

function dense(values: Float32Array, rows: number, columns: number): DenseWeights {
  return { format: 'f32', rows, columns, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) }
}
