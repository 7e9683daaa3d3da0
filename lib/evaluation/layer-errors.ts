/** How far each quantized weight of a model is from the weight it was made of. */
import { PyramidionError } from '../errors.js'
import { type CallOptions, runInWorker } from '../worker/worker-host.js'

export interface LayerErrorsOptions extends CallOptions {
  /** A quantized folder. */
  model: string
  /** The model it was made of. */
  reference: string
}

export interface LayerError {
  /** Of the weight, e.g. `model.layers.0.self_attn.q_proj.weight`. */
  name: string
  rows: number
  columns: number
  /** ||W - W_q||^2 / ||W||^2 (Frobenius), W_q with its rotation undone and its low-rank correction added. */
  relativeSquaredError: number
}

/**
 * The relative squared error of every quantized weight of `model`, in the order of computation. Throws INVALID_ARGUMENT
 * when `model` has no quantized weight, INVALID_SHAPE or MISSING_TENSOR when `reference` is another model, ABORTED.
 */
export async function layerErrors(options: LayerErrorsOptions): Promise<LayerError[]> {
  const { model, reference, signal, onProgress } = options
  for (const [argument, path] of Object.entries({ model, reference })) {
    if (typeof path === 'string' && path !== '') continue
    throw new PyramidionError('INVALID_ARGUMENT', `${argument} must be a path, got ${JSON.stringify(path)}`)
  }
  const job = new URL('./layer-errors-job.js', import.meta.url)
  return runInWorker<LayerError[]>(job, { model, reference }, { signal, onProgress })
}
