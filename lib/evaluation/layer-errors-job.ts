/** The worker's side of layerErrors(): decodes both weights a few rows at a time and compares. */
import type { ModelSource } from '../checkpoint/model-source.js'
import { openModel } from '../checkpoint/open-model.js'
import { PyramidionError } from '../errors.js'
import { Projection } from '../model/projection.js'
import { checkTensors, requiredTensors } from '../model/tensor-requirements.js'
import type { JobContext } from '../worker/job.js'
import type { LayerError } from './layer-errors.js'

const ROWS = 64

export async function run(paths: { model: string; reference: string }, context: JobContext): Promise<LayerError[]> {
  const model = await openModel(paths.model)
  try {
    const reference = await openModel(paths.reference)
    try {
      return await compare(model, reference, context)
    } finally {
      await reference.close()
    }
  } finally {
    await model.close()
  }
}

async function compare(model: ModelSource, reference: ModelSource, context: JobContext): Promise<LayerError[]> {
  checkTensors(model)
  checkTensors(reference)
  const names = requiredTensors(model.config).flatMap(({ name }) => (model.quantized.has(name) ? [name] : []))
  if (names.length === 0) {
    throw new PyramidionError('INVALID_ARGUMENT', `model must have quantized weights, ${model.path} has none`)
  }
  const errors: LayerError[] = []
  for (const name of names) {
    const layer = name.slice(0, -'.weight'.length)
    const quantized = await Projection.load(model, layer, false, context.signal)
    const original = await Projection.load(reference, layer, false, context.signal)
    errors.push({ name, ...relativeError(name, quantized, original, context) })
    context.progress({ done: errors.length, total: names.length, label: name })
  }
  return errors
}

function relativeError(name: string, quantized: Projection, original: Projection, context: JobContext) {
  const { outFeatures: rows, inFeatures: columns } = quantized
  if (original.outFeatures !== rows || original.inFeatures !== columns) {
    throw new PyramidionError(
      'INVALID_SHAPE',
      `${name} must have shape [${rows},${columns}] in the reference too, it has [${original.outFeatures},${original.inFeatures}]`,
    )
  }
  const approximate = new Float32Array(ROWS * columns)
  const exact = new Float32Array(ROWS * columns)
  let error = 0
  let energy = 0
  for (let first = 0; first < rows; first += ROWS) {
    context.throwIfAborted()
    const ids = Int32Array.from({ length: Math.min(ROWS, rows - first) }, (_, i) => first + i)
    const length = ids.length * columns
    quantized.linear.gatherRows(ids, approximate.subarray(0, length))
    original.linear.gatherRows(ids, exact.subarray(0, length))
    for (let i = 0; i < length; i++) {
      error += (exact[i] - approximate[i]) ** 2
      energy += exact[i] ** 2
    }
  }
  // A weight of zeros that stays zero has lost nothing.
  return { rows, columns, relativeSquaredError: error === 0 ? 0 : error / energy }
}
