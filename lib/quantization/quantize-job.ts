/** The worker's side of quantizeModel: everything is checked, then each tensor is read, coded and written in turn. */
import { createHash } from 'node:crypto'
import { CheckpointWriter, type PlainTensor } from '../checkpoint/checkpoint-writer.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { openModel } from '../checkpoint/open-model.js'
import { readWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { chooseRank } from '../linear/automatic-rank.js'
import { encodeLinear } from '../linear/encode-linear.js'
import type { Hessian } from '../linear/hessian.js'
import { linearTensors } from '../linear/linear-tensors.js'
import { checkTensors } from '../model/tensor-requirements.js'
import { type DenseFormat, type DenseWeights, native } from '../native.js'
import { storedBits } from '../quantizers/stored-bits.js'
import type { JobContext } from '../worker/job.js'
import { Calibration, calibrationWindows, hessianOf } from './calibration.js'
import type { LayerReport, QuantizeModelResult, QuantizePayload } from './quantize-model.js'
import { planTensors, sizeOf, type TensorPlan } from './quantize-plan.js'
import { quantizationReport, reportFiles } from './report.js'

/** See quantizeModel. */
export async function run(payload: QuantizePayload, context: JobContext): Promise<QuantizeModelResult> {
  const source = await openModel(payload.source)
  try {
    checkSource(source)
    const plan = planTensors(source.config, payload)
    const guided = payload.quantizer === 'pvq' && payload.rounding === 'guided'
    const calibrated = (guided || payload.rank !== 0) && payload.calibration.length > 0
    const windows = calibrated ? await calibrationWindows(source, payload.calibration) : undefined
    const writer = await CheckpointWriter.open({
      output: payload.output,
      overwrite: payload.overwrite,
      fingerprint: fingerprint(source, payload),
      files: await source.files(),
      quantization: description(payload),
    })
    try {
      return await new ModelQuantizer(source, payload, context, writer).run(plan, windows)
    } catch (error) {
      // What an aborted run has finished is kept for the next one; a run that cannot succeed leaves nothing.
      await writer.abort({ keep: error instanceof PyramidionError && error.code === 'ABORTED' })
      throw error
    }
  } finally {
    await source.close()
  }
}

function checkSource(source: ModelSource): void {
  if (source.kind === 'quantized') {
    throw new PyramidionError('UNSUPPORTED_FORMAT', `${source.path}: is quantized already; quantize the original`)
  }
  checkTensors(source)
}

/** Equal for runs that end in the same bytes. */
function fingerprint(
  source: ModelSource,
  { source: _path, output, overwrite, report, ...settings }: QuantizePayload,
): string {
  return createHash('sha256')
    .update(JSON.stringify([source.fingerprint, settings]))
    .digest('hex')
}

/** What config.json says about how the model was made. */
function description({
  bits,
  embeddingBits,
  quantizer,
  lattice,
  rounding,
  calibration,
  rank,
  lowRank,
  activations,
  seed,
}: QuantizePayload): Record<string, unknown> {
  return {
    quantizer,
    ...(quantizer === 'pvq' && lattice !== 'integer' ? { lattice } : {}),
    bits,
    ...(embeddingBits === undefined ? {} : { embedding_bits: embeddingBits }),
    ...(calibration.length > 0 ? { rounding } : {}),
    ...(rank === 0 ? {} : { rank, low_rank: lowRank }),
    ...(activations === 'float' ? {} : { activations }),
    seed,
  }
}

/** One run over all tensors. */
class ModelQuantizer {
  readonly #started = performance.now()
  #done = 0
  #storedBits = 0
  readonly #reports: { role: string; report: LayerReport }[] = []

  constructor(
    private readonly source: ModelSource,
    private readonly payload: QuantizePayload,
    private readonly context: JobContext,
    private readonly writer: CheckpointWriter,
  ) {}

  async run(plan: TensorPlan[], windows?: Int32Array[]): Promise<QuantizeModelResult> {
    const { signal } = this.context
    const calibration = windows && (await Calibration.start(this.source, windows, signal))
    const total = plan.reduce((sum, tensor) => sum + sizeOf(tensor), 0)
    let layer = -1
    let statistics: Awaited<ReturnType<Calibration['block']>> | undefined
    for (const tensor of plan) {
      this.context.throwIfAborted()
      const next = layerOf(tensor.name)
      if (calibration !== undefined && next !== undefined && next !== layer) {
        layer = next
        this.context.progress({ done: this.#done, total, label: `calibrating block ${layer}` })
        statistics = await calibration.block(layer, () => this.context.throwIfAborted(), signal)
      }
      const hessian = statistics && hessianOf(tensor.name, statistics)
      if (tensor.target === undefined) await this.#keep(tensor)
      else await this.#quantize(tensor, tensor.target, total, hessian)
      this.#done += sizeOf(tensor)
      this.context.progress({ done: this.#done, total, label: tensor.name })
    }
    const result = (bytes: number): QuantizeModelResult => ({
      ...this.#means(total),
      bytes,
      seconds: (performance.now() - this.#started) / 1000,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      layers: this.#layers(),
    })
    const { bytes } = await this.writer.finalize(bytes =>
      this.payload.report ? reportFiles(quantizationReport(this.source, this.payload, result(bytes))) : new Map(),
    )
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

  async #quantize(
    { name, shape, role }: TensorPlan,
    target: NonNullable<TensorPlan['target']>,
    total: number,
    hessian: Hessian | undefined,
  ): Promise<void> {
    const [rows, columns] = shape
    if (!this.writer.has(name)) {
      const started = performance.now()
      const weight = (await readWeights(this.source, name, this.context.signal)).weights as DenseWeights
      const { quantizer, lattice, rounding, lowRank: method, seed, advanced } = this.payload
      const { rotation = true, ...guide } = advanced
      const size = rows * columns
      const common = {
        name,
        hessian,
        rounding,
        guide,
        rotationSeed: quantizer === 'pvq' && rotation ? seed : null,
        signal: this.context.signal,
        onProgress: (progress: { done: number; total: number }) =>
          this.context.progress({
            done: this.#done + Math.floor((size * progress.done) / progress.total),
            total: total,
            label: name,
          }),
      }
      const { rank } = target
      const { stored, relativeSquaredError } =
        rank === 'auto'
          ? await chooseRank(weight, { ...common, rank, method, quantizerName: quantizer, lattice, bits: target.bits })
          : await encodeLinear(weight, { ...common, quantizer: target.quantizer!, lowRank: { method, rank } })
      const { metadata } = linearTensors(stored)
      const report: LayerReport = {
        name,
        rows,
        columns,
        bitsPerWeight: storedBits(metadata) / size,
        rank: metadata.rank,
        relativeSquaredError,
        seconds: (performance.now() - started) / 1000,
      }
      await this.writer.addQuantized(name, stored, report)
    }
    const report = this.writer.note(name) as LayerReport
    this.#storedBits += report.bitsPerWeight * rows * columns
    this.#reports.push({ role, report })
  }

  #layers(): LayerReport[] {
    return this.#reports.map(({ report }) => report)
  }

  #means(parameters: number): { bitsPerWeight: number; linearBitsPerWeight: number } {
    const linear = this.#reports.filter(({ role }) => role === 'linear').map(({ report }) => report)
    const weights = linear.reduce((sum, { rows, columns }) => sum + rows * columns, 0)
    const bits = linear.reduce((sum, { rows, columns, bitsPerWeight }) => sum + bitsPerWeight * rows * columns, 0)
    return { bitsPerWeight: this.#storedBits / parameters, linearBitsPerWeight: bits / weights }
  }
}

/** The block a tensor belongs to. */
function layerOf(name: string): number | undefined {
  const [, layer] = /^model\.layers\.(\d+)\./.exec(name) ?? []
  return layer === undefined ? undefined : Number(layer)
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
