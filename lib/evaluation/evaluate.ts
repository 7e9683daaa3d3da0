/**
 * What quantization did to a model: perplexity over a text, and how far its predictions are from a reference model's. The
 * work runs in a worker thread, in that of a loaded model where one is given.
 */
import { PyramidionError } from '../errors.js'
import { type Activations, checkActivations } from '../linear/activations.js'
import { checkKeyValueFormat } from '../model/key-value-cache.js'
import { Model } from '../model/load-model.js'
import type { KeyValueFormat } from '../native.js'
import { type CallOptions, runInWorker } from '../worker/worker-host.js'
import type { EvaluationPayload } from './evaluation-job.js'
import type { Distribution } from './summary.js'
import { checkWindowOptions, type WindowOptions } from './windows.js'

export interface EvaluateOptions extends WindowOptions, CallOptions {
  /** A quantized folder, a Hugging Face folder, a GGUF file, or a loaded model. */
  model: string | Model
  /** What to compare with, usually the unquantized model: the same vocabulary and tokenizer. */
  reference?: string | Model
  /** What the inputs of `model`'s linear layers are rounded to, as in loadModel; of a loaded model that is settled. */
  activations?: Activations
  /** What `model`'s keys and values are rounded to, as in loadModel; those of a reference given as a path are not rounded. */
  kvCache?: KeyValueFormat
  text: string
  /**
   * A folder that keeps what `reference`, given as a path, makes of the text (4 bytes a scored token and unit of its width), and is
   * made when missing: later evaluations with the same reference, text and windows read it from there, with the same figures.
   */
  referenceCache?: string
}

export interface Evaluation {
  /** exp of the mean negative log-likelihood of the scored tokens. */
  perplexity: number
  /** Tokens scored. */
  tokens: number
  /**
   * Tokens that went through the model a second: its blocks on whole windows and its head on the scored positions; not
   * loading, tokenizing, the reference, or the statistics.
   */
  tokensPerSecond: number
  /** KL(reference || model) a token, in nats. */
  klDivergence?: Distribution
  /** Share of tokens, 0 to 1, where both models find the same token likeliest. */
  topAgreement?: number
  reference?: { perplexity: number }
}

/**
 * Perplexity and, with a `reference`, KL divergence, in llama.cpp's convention: consecutive windows of 512 tokens over the
 * whole text, the second half of each scored; a beginning-of-text token takes the first place of each window only if the
 * tokenizer asks for one. Throws EMPTY or INVALID_ARGUMENT for a text shorter than a window, INVALID_ARGUMENT when the
 * vocabularies differ, NOT_FINITE, ABORTED, WRITE_FAILED for a `referenceCache` that cannot be written, and what {@link loadModel} throws.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { model, reference, activations, kvCache, text, referenceCache, signal, onProgress } = options
  const { window, stride, windows } = options
  checkModel('model', model)
  if (reference !== undefined) checkModel('reference', reference)
  if (activations !== undefined) checkActivations(activations)
  if (kvCache !== undefined) checkKeyValueFormat(kvCache)
  if (model instanceof Model) {
    for (const [name, value] of Object.entries({ activations, kvCache })) {
      if (value === undefined) continue
      throw new PyramidionError('INVALID_ARGUMENT', `${name} of a loaded model is chosen when it is loaded`)
    }
  }
  if (typeof text !== 'string') {
    throw new PyramidionError('INVALID_ARGUMENT', `text must be a string, got ${typeof text}`)
  }
  if (text === '') throw new PyramidionError('EMPTY', 'text must hold something to score')
  checkWindowOptions({ window, stride, windows })
  if (referenceCache !== undefined) {
    if (typeof referenceCache !== 'string' || referenceCache === '') {
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `referenceCache must be a path, got ${JSON.stringify(referenceCache)}`,
      )
    }
    if (typeof reference !== 'string') {
      throw new PyramidionError('INVALID_ARGUMENT', 'referenceCache needs a reference that is a path')
    }
  }

  // A loaded model is null in its own thread, and a path in any other.
  const owner = model instanceof Model ? model : reference instanceof Model ? reference : undefined
  const name = (one: string | Model) => (one === owner ? null : one instanceof Model ? one.path : one)
  const payload: EvaluationPayload = {
    model: name(model),
    reference: reference === undefined ? undefined : name(reference),
    activations,
    kvCache,
    text,
    window,
    stride,
    windows,
    referenceCache,
  }
  const job = new URL('./evaluation-job.js', import.meta.url)
  const call = { signal, onProgress }
  return owner ? owner.run<Evaluation>(job, 'run', payload, call) : runInWorker<Evaluation>(job, payload, call)
}

function checkModel(argument: string, model: unknown): void {
  if (model instanceof Model || (typeof model === 'string' && model !== '')) return
  throw new PyramidionError(
    'INVALID_ARGUMENT',
    `${argument} must be a path or a loaded model, got ${JSON.stringify(model)}`,
  )
}
