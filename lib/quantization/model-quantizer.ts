/** One run over all tensors of a model: each is read, coded and written in turn, with what calibration says about it. */
import type { CheckpointWriter, PlainTensor } from '../checkpoint/checkpoint-writer.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { readWeights } from '../checkpoint/read-weights.js'
import { EncodingDevice } from '../linear/encoding-device.js'
import { type DenseFormat, type DenseWeights, native } from '../native.js'
import type { JobContext } from '../worker/job.js'
import { ActivationSpace } from './activation-store.js'
import { Calibration } from './calibration.js'
import { lossCoefficients } from './loss-coefficients.js'
import { STEPS } from './propagation.js'
import { type LayerStatistics, quantizeLayer } from './quantize-layer.js'
import type { LayerReport, QuantizeModelResult, QuantizePayload } from './quantize-model.js'
import { planTensors, sizeOf, type TensorPlan, type TensorTarget } from './quantize-plan.js'
import { recoveryPasses, type SplitWindows } from './recovery.js'
import { type RecoveryReport, recoverFinished } from './recovery-phase.js'
import { quantizationReport, reportFiles } from './report.js'
import { Sensitivity } from './sensitivity.js'
import { planForSize } from './size-plan.js'
import { WorkMeter } from './work-meter.js'

/** Work of copying a weight, and of calibrating it or measuring the loss with one token, as a share of rounding it; roughly. */
const COPYING = 0.02
const CALIBRATION = 1 / 25_000
const SENSITIVITY = 1 / 10_000
/** And of taking one token forward once. */
const RECOVERY = 1 / 50_000
/** Of the calibration windows, those whose gradients are taken. */
const SENSITIVITY_WINDOWS = 64

/**
 * The tensors and what becomes of each, by `bits` or `size` of the payload. `coefficients`: see lossCoefficients; without
 * them all layers count alike.
 */
export function planFor(
  source: ModelSource,
  payload: QuantizePayload,
  coefficients?: ReadonlyMap<string, number>,
): TensorPlan[] {
  const { bits, size } = payload
  if (bits !== undefined) return planTensors(source.config, { ...payload, bits }, coefficients)
  return planForSize(source, { ...payload, rotationSeed: rotationSeedOf(payload) }, size!, coefficients).plan
}

/** Null for no rotation. */
function rotationSeedOf({ quantizer, seed, advanced }: QuantizePayload): number | null {
  return quantizer === 'pvq' && advanced.rotation !== false ? seed : null
}

export class ModelQuantizer {
  readonly #started = performance.now()
  #storedBits = 0
  readonly #reports: { role: string; report: LayerReport }[] = []
  readonly #meter: WorkMeter
  readonly #space: ActivationSpace
  readonly #calibration?: Calibration
  #sensitivity?: Sensitivity
  readonly #device: EncodingDevice

  constructor(
    private readonly source: ModelSource,
    private readonly payload: QuantizePayload,
    private readonly context: JobContext,
    private readonly writer: CheckpointWriter,
    private plan: TensorPlan[],
    private readonly text: { calibration?: Int32Array[]; recovery?: SplitWindows },
  ) {
    const { device, deviceRequired } = payload
    this.#device = EncodingDevice.forModel(device, deviceRequired, warning => context.emit(warning))
    const windows = text.calibration
    const work = plan.reduce((sum, tensor) => sum + workOf(tensor), 0)
    const calibrationWork = windows === undefined ? 0 : CALIBRATION * tokenWeights(plan, windows)
    this.#meter = new WorkMeter(work + calibrationWork + this.#sensitivityWork + this.#recoveryWork, progress =>
      context.progress(progress),
    )
    this.#space = new ActivationSpace(writer.folder('activations'), payload.calibrationMemory)
    if (windows === undefined) return
    const steps = source.config.layers * STEPS * windows.length
    this.#calibration = new Calibration(source, windows, {
      space: this.#space,
      newHessian: width => this.#device.newHessian(width),
      quantizedWeights:
        (payload.advanced.propagation ?? true)
          ? async name => (this.#isQuantized(name) ? readWeights(writer.finished, name, context.signal) : undefined)
          : undefined,
      onWindow: layer => {
        context.throwIfAborted()
        this.#meter.add(calibrationWork / steps, `calibrating block ${layer}`)
      },
      signal: context.signal,
    })
  }

  async run(): Promise<QuantizeModelResult> {
    let recovery: RecoveryReport | undefined
    try {
      this.#sensitivity = await this.#measureSensitivity()
      if (this.#sensitivity && (this.payload.advanced.allocation ?? true)) await this.#allocate(this.#sensitivity)
      for (const tensor of this.plan) {
        this.context.throwIfAborted()
        if (tensor.target === undefined) await this.#keep(tensor)
        else await this.#quantize(tensor, tensor.target)
        this.#meter.add(workOf(tensor), tensor.name)
      }
      recovery = await this.#recover()
    } finally {
      await this.#space.close()
    }
    const result = (bytes: number): QuantizeModelResult => ({
      ...this.#means(),
      bytes,
      weightBytes: this.writer.weightBytes,
      seconds: (performance.now() - this.#started) / 1000,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      layers: this.#layers(),
      ...(recovery && { recovery }),
    })
    const { bytes } = await this.writer.finalize(bytes =>
      this.payload.report ? reportFiles(quantizationReport(this.source, this.payload, result(bytes))) : new Map(),
    )
    this.#meter.finish('done')
    return result(bytes)
  }

  /** A tensor as it is; block formats, which safetensors does not have, become f16, or f32 where f16 would overflow. */
  async #keep({ name, shape }: TensorPlan): Promise<void> {
    const { format } = this.source.tensors.get(name)!
    if (!this.writer.has(name)) {
      const data = await this.source.read(name, this.context.signal)
      const plain = format === 'f32' || format === 'f16' || format === 'bf16'
      const tensor = plain ? { format, shape, data } : await widened(format as DenseFormat, shape, data)
      await this.writer.addPlain(name, tensor, tensor.data.length)
    }
    this.#storedBits += 8 * (this.writer.note(name) as number)
  }

  get #sensitivityWork(): number {
    const { quantizer, rounding, advanced } = this.payload
    const wanted = quantizer === 'pvq' && rounding === 'guided' && (advanced.sensitivity ?? true)
    const { calibration } = this.text
    if (!wanted || calibration === undefined) return 0
    return SENSITIVITY * tokenWeights(this.plan, calibration.slice(0, SENSITIVITY_WINDOWS))
  }

  async #measureSensitivity(): Promise<Sensitivity | undefined> {
    const work = this.#sensitivityWork
    if (work === 0) return undefined
    const { payload, context } = this
    const sensitivity = await Sensitivity.measure(this.source, this.text.calibration!, {
      windows: SENSITIVITY_WINDOWS,
      folder: payload.calibrationCache ?? this.writer.folder('sensitivity'),
      space: this.#space,
      seed: payload.seed,
      newHessian: width => this.#device.newHessian(width),
      signal: context.signal,
      onProgress: ({ done, total, label }) => this.#meter.within(work, done / total, label ?? 'sensitivity'),
      poll: context.throwIfAborted,
    })
    this.#meter.add(work, 'sensitivity')
    return sensitivity
  }

  /** Gives each layer the rate that its expected loss deserves. */
  async #allocate(sensitivity: Sensitivity): Promise<void> {
    const coefficients = await lossCoefficients(this.source, this.plan, sensitivity, {
      rotationSeed: rotationSeedOf(this.payload),
      onLayer: this.context.throwIfAborted,
      signal: this.context.signal,
    })
    this.plan = planFor(this.source, this.payload, coefficients)
  }

  get #recoveryWork(): number {
    const { payload, text } = this
    if (text.recovery === undefined) return 0
    const passes = recoveryPasses(text.recovery, payload.recovery)
    return RECOVERY * tokenWeights(this.plan, text.recovery.fitted.slice(0, 1)) * passes
  }

  async #recover(): Promise<RecoveryReport | undefined> {
    const { payload, context, text } = this
    if (text.recovery === undefined) return undefined
    const work = this.#recoveryWork
    const report = await recoverFinished(this.source, this.writer, text.recovery, {
      steps: payload.recovery,
      seed: payload.seed,
      space: this.#space,
      signal: context.signal,
      onProgress: ({ done, total, label }) => this.#meter.within(work, done / total, label ?? 'recovery'),
      poll: context.throwIfAborted,
    })
    this.#meter.add(work, 'recovery')
    return report
  }

  #isQuantized(name: string): boolean {
    return this.plan.some(tensor => tensor.name === name && tensor.target !== undefined)
  }

  async #quantize(tensor: TensorPlan, target: TensorTarget): Promise<void> {
    const { name, shape, role } = tensor
    if (!this.writer.has(name)) {
      const { quantizer: quantizerName, lattice, rounding, lowRank, advanced } = this.payload
      const { rotation, propagation, sensitivity, fisherMix, outputCoupling, allocation, refits, ...guide } = advanced
      const statistics = await this.#statisticsOf(tensor)
      const started = performance.now()
      const weight = (await readWeights(this.source, name, this.context.signal)).weights as DenseWeights
      const { stored, report } = await quantizeLayer(weight, {
        lattice,
        name,
        target,
        quantizerName,
        rounding,
        guide,
        lowRank,
        refits,
        rotationSeed: rotationSeedOf(this.payload),
        statistics,
        device: this.#device,
        signal: this.context.signal,
        onProgress: ({ done, total }) => this.#meter.within(workOf(tensor), done / total, name),
      })
      const seconds = (performance.now() - started) / 1000
      await this.writer.addQuantized(name, stored, { ...report, seconds })
    }
    const report = this.writer.note(name) as LayerReport
    this.#storedBits += report.bitsPerWeight * sizeOf({ shape })
    this.#reports.push({ role, report })
  }

  async #statisticsOf({ name, role }: TensorPlan): Promise<LayerStatistics | undefined> {
    const statistics = await this.#calibration?.statisticsOf(name)
    if (statistics === undefined || this.#sensitivity === undefined || role !== 'linear') return statistics
    const { fisherMix = true, outputCoupling = true } = this.payload.advanced
    const { inputHessian, outputHessian } = await this.#sensitivity.ofWeight(name)
    return {
      ...statistics,
      inputSensitivity: fisherMix ? inputHessian : undefined,
      outputSensitivity: outputCoupling ? outputHessian : undefined,
    }
  }

  #layers(): LayerReport[] {
    return this.#reports.map(({ report }) => report)
  }

  #means(): { bitsPerWeight: number; linearBitsPerWeight: number } {
    const parameters = this.plan.reduce((sum, tensor) => sum + sizeOf(tensor), 0)
    const linear = this.#reports.filter(({ role }) => role === 'linear').map(({ report }) => report)
    const weights = linear.reduce((sum, { rows, columns }) => sum + rows * columns, 0)
    const bits = linear.reduce((sum, { rows, columns, bitsPerWeight }) => sum + bitsPerWeight * rows * columns, 0)
    return { bitsPerWeight: this.#storedBits / parameters, linearBitsPerWeight: bits / weights }
  }
}

/** Work in the unit of progress, weights rounded: what is kept is only copied. */
function workOf(tensor: TensorPlan): number {
  return tensor.target === undefined ? COPYING * sizeOf(tensor) : sizeOf(tensor)
}

/** Products of weights in linear layers and tokens. */
function tokenWeights(plan: TensorPlan[], windows: Int32Array[]): number {
  const linear = plan.filter(({ role }) => role === 'linear').reduce((sum, tensor) => sum + sizeOf(tensor), 0)
  return linear * windows.reduce((sum, window) => sum + window.length, 0)
}

async function widened(format: DenseFormat, shape: number[], data: Uint8Array): Promise<PlainTensor> {
  const columns = shape[shape.length - 1]
  const rows = sizeOf({ shape }) / columns
  const values = new Float32Array(rows * columns)
  await native.decodeRowsAsync({ format, rows, columns, data }, 0, rows, values)
  const halves = native.toHalf(values)
  const overflows = halves.some(half => (half & 0x7c00) === 0x7c00)
  const array = overflows ? values : halves
  return { format: overflows ? 'f32' : 'f16', shape, data: new Uint8Array(array.buffer) }
}
