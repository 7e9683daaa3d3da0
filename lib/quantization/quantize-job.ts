/** The worker's side of quantizeModel: everything is checked before a {@link ModelQuantizer} runs. */
import { createHash } from 'node:crypto'
import { CheckpointWriter } from '../checkpoint/checkpoint-writer.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { openModel } from '../checkpoint/open-model.js'
import { PyramidionError } from '../errors.js'
import { checkTensors } from '../model/tensor-requirements.js'
import type { JobContext } from '../worker/job.js'
import { calibrationWindows } from './calibration-windows.js'
import { ModelQuantizer, planFor } from './model-quantizer.js'
import type { QuantizeModelResult, QuantizePayload } from './quantize-model.js'
import { splitWindows } from './recovery.js'

/** See quantizeModel. */
export async function run(payload: QuantizePayload, context: JobContext): Promise<QuantizeModelResult> {
  const source = await openModel(payload.source)
  try {
    checkSource(source)
    const plan = planFor(source, payload)
    const guided = payload.quantizer === 'pvq' && payload.rounding === 'guided'
    const calibrated = (guided || payload.rank !== 0) && payload.calibration.length > 0
    const windows =
      calibrated || payload.recovery > 0
        ? await calibrationWindows(source, payload.calibration, payload.calibrationTokens)
        : undefined
    const text = {
      calibration: calibrated ? windows : undefined,
      recovery: windows && payload.recovery > 0 ? splitWindows(windows) : undefined,
    }
    const writer = await CheckpointWriter.open({
      output: payload.output,
      overwrite: payload.overwrite,
      fingerprint: fingerprint(source, payload),
      files: await source.files(),
      quantization: description(payload),
    })
    try {
      return await new ModelQuantizer(source, payload, context, writer, plan, text).run()
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
  {
    source: _path,
    output,
    overwrite,
    report,
    calibrationMemory,
    calibrationCache,
    device,
    deviceRequired,
    ...settings
  }: QuantizePayload,
): string {
  return createHash('sha256')
    .update(JSON.stringify([source.fingerprint, settings]))
    .digest('hex')
}

/** What config.json says about how the model was made. */
function description({
  bits,
  size,
  embeddingBits,
  quantizer,
  lattice,
  rounding,
  calibration,
  recovery,
  rank,
  lowRank,
  activations,
  seed,
}: QuantizePayload): Record<string, unknown> {
  return {
    quantizer,
    ...(quantizer === 'pvq' && lattice !== 'integer' ? { lattice } : {}),
    ...(size === undefined ? { bits } : { size }),
    ...(embeddingBits === undefined ? {} : { embedding_bits: embeddingBits }),
    ...(calibration.length > 0 ? { rounding } : {}),
    ...(recovery > 0 ? { recovery } : {}),
    ...(rank === 0 ? {} : { rank, low_rank: lowRank }),
    ...(activations === 'float' ? {} : { activations }),
    seed,
  }
}
