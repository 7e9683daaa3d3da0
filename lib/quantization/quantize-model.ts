/**
 * Quantizes a whole model into a folder that loads without the original. Options are checked here, in the caller's thread;
 * the work runs in a worker thread (quantize-job.ts), one tensor at a time.
 */
import { warn } from '../device.js'
import { PyramidionError } from '../errors.js'
import { type Activations, checkActivations } from '../linear/activations.js'
import { checkCalibrated, type LowRankMethod, lowRankMethods } from '../linear/low-rank.js'
import { choosePlace, type DeviceOptions } from '../linear/placement.js'
import { checkBits } from '../linear/quantize-linear.js'
import { checkSeed } from '../linear/rotation.js'
import { type Rounding, roundings } from '../linear/rounding-guide.js'
import type { Lattice } from '../native.js'
import { checkInteger } from '../quantizers/matrix-values.js'
import { type QuantizerName, quantizerNames } from '../quantizers/plan-quantizer.js'
import { lattices } from '../quantizers/pvq-code.js'
import { type CallOptions, runInWorker } from '../worker/worker-host.js'
import { type AdvancedOptions, checkAdvanced } from './advanced-options.js'
import type { RecoveryReport } from './recovery-phase.js'
import { parseSize } from './size-option.js'

export interface QuantizeModelOptions extends CallOptions, DeviceOptions {
  /**
   * Bits a weight of the linear layers (the projections of attention and MLP), everything stored for them counted; 1 to 8. Give
   * this or `size`.
   */
  bits?: number
  /**
   * Of the weight files, headers included: bytes, or a text like `60MB` or `60MiB`, met from below. Embedding and head are then
   * quantized too, by default with 2 bits a weight more than the linear layers. For `pvq`, with a rank that is a number.
   */
  size?: number | string
  /** The folder to make. It appears, whole, at the very end. */
  output: string
  /** Default `pvq`; `integer` and `mxint` are baselines. */
  quantizer?: QuantizerName
  /** Of PVQ groups of 16: the Barnes-Wall lattice has about 9 % less error. Default `integer`. */
  lattice?: Lattice
  /** Default `guided`, which with `calibration` rounds PVQ codes for the outputs; `nearest` rounds for the weights alone. */
  rounding?: Rounding
  /** Rank of the low-rank correction inside `bits`; `auto` where it beats the same bits spent on the codes. Default 0. */
  rank?: number | 'auto'
  /** Default `lqer`; `l2qer` and `qera` need `calibration`. */
  lowRank?: LowRankMethod
  /** Quantizes the embedding and the head too, 1 to 8. Without a `size` they keep their precision by default. */
  embeddingBits?: number
  /**
   * Text like what the model will read. PVQ codes are then rounded for the inputs that the layers see in it, each layer also
   * makes up for what was quantized before it, and low-rank corrections are weighted by the inputs.
   */
  calibration?: string | string[]
  /**
   * What the inputs of the linear layers are to be rounded to when the model runs: noted in the folder, where loadModel and
   * evaluate find it. Default `float`.
   */
  activations?: Activations
  /** How many tokens of `calibration` are used at most, spread evenly. Default 65,536; more help a little, and take longer. */
  calibrationTokens?: number
  /** Bytes of memory for the model's hidden states over `calibration`; the rest goes to a file. Default 1 GiB. */
  calibrationMemory?: number
  /**
   * A folder that keeps what calibration measures on the original model alone, about 5 bytes a weight of it, so that later runs
   * on the same model and text (at another rate, say) begin with rounding. Default: the run measures, and keeps nothing.
   */
  calibrationCache?: string
  /**
   * Steps of recovery, 0 to 100,000: row scales, gain levels and norm weights are fitted by gradient to what the original predicts
   * over `calibration`, four windows of 512 tokens a step, each some four times the work of reading it. Default 0.
   */
  recovery?: number
  /** Seed of the rotations, 0 to 2^32 - 1. Default 0. */
  seed?: number
  /** Replace a model at `output`. Default false. */
  overwrite?: boolean
  /** Write what was done to each layer beside the model, as report.json and a page to look at, report.html. Default true. */
  report?: boolean
  /** Switches for measurements; see {@link AdvancedOptions}. */
  advanced?: AdvancedOptions
}

/** One quantized weight. */
export interface LayerReport {
  name: string
  rows: number
  columns: number
  /** Everything stored for it. */
  bitsPerWeight: number
  /** Of its low-rank correction; 0 for none. */
  rank: number
  /** Sum of squared errors of the weights over the sum of their squares. */
  relativeSquaredError: number
  /** From reading it to its codes, in the run that made it. */
  seconds: number
  /**
   * With calibration, the expected squared error that rounding left in the layer's outputs, over that of the outputs:
   * tr(D H D^T) / tr(T H T^T) with H = E[x x^T] of the inputs in the model as quantized so far, T the weights that were aimed at
   * and D = T minus what is stored.
   */
  outputError?: number
  /** The same if each group of weights were rounded by itself. Absent with a low-rank correction. */
  nearestOutputError?: number
  /**
   * Where rates are allocated, the KL divergence in nats a token that its rounding was expected to add when its rate was chosen: to
   * second order, with all else as it was.
   */
  expectedLoss?: number
}

export interface QuantizeModelResult {
  /** Bits of all stored tensors over all parameters of the model. */
  bitsPerWeight: number
  /** The same for the linear layers. */
  linearBitsPerWeight: number
  /** Of all files in the folder but the report. */
  bytes: number
  /** Of the weight files, headers included: what `size` is about. */
  weightBytes: number
  /** Of this call; a run that resumed did the rest before. */
  seconds: number
  /** Largest resident set of this process so far. */
  peakMemoryBytes: number
  /** In the order of computation; their errors are those of rounding, before recovery. */
  layers: LayerReport[]
  /** Where it was asked for. */
  recovery?: RecoveryReport
}

/** What the job needs: options with their defaults, ready for a structured clone. */
export interface QuantizePayload {
  source: string
  output: string
  /** This or size. */
  bits?: number
  /** In bytes. */
  size?: number
  quantizer: QuantizerName
  lattice: Lattice
  rounding: Rounding
  rank: number | 'auto'
  lowRank: LowRankMethod
  embeddingBits?: number
  calibration: string[]
  activations: Activations
  calibrationTokens: number
  calibrationMemory: number
  recovery: number
  calibrationCache?: string
  seed: number
  overwrite: boolean
  report: boolean
  advanced: AdvancedOptions
  /** What the choice came to, and whether only a GPU will do. */
  device: 'cpu' | 'cuda'
  deviceRequired: boolean
}

/**
 * Quantizes the model at `source`, a Hugging Face folder or a GGUF file. A run that was interrupted leaves
 * `<output>.partial` and resumes from it, to the same bytes, when called again with the same arguments; `device` may differ.
 *
 * With a `device`, weights are coded, and the moments of calibration summed up, on a GPU; the model itself runs on the processor.
 * Codes without a kernel are left to the processor, which `onWarning` hears once a reason.
 *
 * @throws before any work starts: INVALID_ARGUMENT, RATE_OUT_OF_RANGE, CALIBRATION_REQUIRED, EMPTY for calibration without
 *   a token, OUTPUT_EXISTS, and what openModel throws for a broken or unknown source; later NOT_FINITE for weights that hold
 *   NaN or an infinity, WRITE_FAILED, ABORTED. With `device: 'cuda'` also, before any work, DEVICE_UNAVAILABLE, and
 *   UNSUPPORTED_FORMAT for a baseline; with any GPU, later, OUT_OF_MEMORY and DEVICE_ERROR, of which `auto` throws what cannot be
 *   done again.
 */
export async function quantizeModel(source: string, options: QuantizeModelOptions): Promise<QuantizeModelResult> {
  const { signal, onProgress, onWarning = warn } = options
  const settings = checkedSettings(source, options)
  const deviceRequired = options.device === 'cuda'
  if (deviceRequired && settings.quantizer !== 'pvq') {
    throw new PyramidionError('UNSUPPORTED_FORMAT', `only pvq weights have CUDA kernels, not ${settings.quantizer}`)
  }
  const { device } = await choosePlace(options)
  const payload: QuantizePayload = { ...settings, device, deviceRequired }
  const job = new URL('./quantize-job.js', import.meta.url)
  return runInWorker<QuantizeModelResult>(job, payload, { signal, onProgress, onPiece: onWarning })
}

function checkedSettings(
  source: string,
  options: QuantizeModelOptions,
): Omit<QuantizePayload, 'device' | 'deviceRequired'> {
  const { output, embeddingBits, calibrationCache } = options
  const {
    quantizer = 'pvq',
    lattice = 'integer',
    rounding = 'guided',
    rank = 0,
    lowRank = 'lqer',
    calibration = [],
    activations = 'float',
    calibrationTokens = 65_536,
    calibrationMemory = 2 ** 30,
    recovery = 0,
    seed = 0,
    overwrite = false,
    report = true,
    advanced = {},
  } = options
  checkPath('source', source)
  checkPath('output', output)
  if (calibrationCache !== undefined) checkPath('calibrationCache', calibrationCache)
  const rate = checkedRate(options)
  if (embeddingBits !== undefined) checkBits('embeddingBits', embeddingBits)
  checkChoice('quantizer', quantizer, quantizerNames)
  checkChoice('lattice', lattice, lattices)
  checkChoice('rounding', rounding, roundings)
  checkChoice('lowRank', lowRank, lowRankMethods)
  if (rank !== 'auto') checkInteger('rank', rank, 0, 4096)
  checkInteger('calibrationTokens', calibrationTokens, 1, 2 ** 30)
  checkInteger('calibrationMemory', calibrationMemory, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('recovery', recovery, 0, 100_000)
  checkSeed(seed)
  checkActivations(activations)
  checkAdvanced(advanced)
  const texts = checkedTexts(calibration)
  if (recovery > 0 && texts.length === 0) {
    throw new PyramidionError('CALIBRATION_REQUIRED', 'recovery needs calibration text')
  }
  if (rank !== 0) checkCalibrated(lowRank, texts.length > 0, 'calibration text')
  return {
    source,
    output,
    ...rate,
    quantizer,
    lattice,
    rounding,
    rank,
    lowRank,
    embeddingBits,
    calibration: texts,
    activations,
    calibrationTokens,
    calibrationMemory,
    recovery,
    calibrationCache,
    seed,
    overwrite,
    report,
    advanced,
  }
}

function checkedRate({ bits, size, quantizer = 'pvq', rank = 0 }: QuantizeModelOptions): {
  bits?: number
  size?: number
} {
  if ((bits === undefined) === (size === undefined)) {
    throw new PyramidionError('INVALID_ARGUMENT', 'options must have either bits or size')
  }
  if (size === undefined) {
    checkBits('bits', bits!)
    return { bits }
  }
  if (quantizer !== 'pvq' || rank === 'auto') {
    throw new PyramidionError('INVALID_ARGUMENT', 'size needs the quantizer pvq, and a rank that is a number')
  }
  return { size: parseSize(size) }
}

function checkPath(name: string, path: string): void {
  if (typeof path === 'string' && path !== '') return
  throw new PyramidionError('INVALID_ARGUMENT', `${name} must be a path, got ${JSON.stringify(path)}`)
}

function checkChoice(name: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return
  throw new PyramidionError('INVALID_ARGUMENT', `${name} must be one of ${choices.join(', ')}, got ${value}`)
}

function checkedTexts(calibration: string | string[]): string[] {
  const texts = typeof calibration === 'string' ? [calibration] : calibration
  if (!Array.isArray(texts) || texts.some(text => typeof text !== 'string')) {
    throw new PyramidionError('INVALID_ARGUMENT', 'calibration must be a text or an array of texts')
  }
  if (texts.some(text => text.trim() === ''))
    throw new PyramidionError('EMPTY', 'calibration holds a text with nothing in it')
  return texts
}
