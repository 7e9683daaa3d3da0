/** The worker's side of evaluate(): runs the windows through one model or two and gathers the statistics of their logits. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { openModel } from '../checkpoint/open-model.js'
import type { Tokenizer } from '../checkpoint/tokenizer.js'
import { PyramidionError } from '../errors.js'
import type { Activations } from '../linear/activations.js'
import type { KeyValueCache } from '../model/key-value-cache.js'
import { Llama, type LoadOptions } from '../model/llama.js'
import { loadedModel } from '../model/model-service.js'
import { type KeyValueFormat, type LogitStatistics, native } from '../native.js'
import { packageVersion } from '../package-version.js'
import type { JobContext } from '../worker/job.js'
import type { Evaluation } from './evaluate.js'
import { openReferenceStates, type ReferenceStates } from './reference-states.js'
import { distribution, mean } from './summary.js'
import { planWindows, type WindowOptions, type WindowPlan, windowTokens } from './windows.js'

export interface EvaluationPayload extends WindowOptions {
  /** A path; null is the model loaded in this thread. */
  model: string | null
  reference?: string | null
  /** Both of the model. */
  activations?: Activations
  kvCache?: KeyValueFormat
  text: string
  /** Of a reference that is a path. */
  referenceCache?: string
}

/** Logits of scored positions that go through the head together, as bytes, for each model. */
const LOGIT_BYTES = 32 << 20

interface Subject {
  model: Llama
  tokenizer: Tokenizer
  /** Tells its weights from others'; absent of a loaded model. */
  source?: { path: string; fingerprint: string }
}

export async function run(payload: EvaluationPayload, context: JobContext): Promise<Evaluation> {
  const { activations, kvCache } = payload
  const subject = await open(payload.model, context, { activations, kvCache })
  const same = payload.reference === payload.model && activations === undefined && kvCache === undefined
  const other =
    payload.reference === undefined || same ? undefined : await open(payload.reference, context, { kvCache: 'f32' })
  const reference = same ? subject : other
  const ids = subject.tokenizer.encode(payload.text, { special: true, parseSpecial: false })
  const plan = planWindows(ids.length, contextLength(subject, reference), payload)
  if (reference) checkSameTokens(subject, reference, ids, payload.text)

  const { vocabularySize } = subject.model.config
  const together = Math.min(plan.scored, Math.max(1, Math.floor(LOGIT_BYTES / 4 / vocabularySize)))
  const model = new Scorer(subject.model, plan, together)
  const baseline = reference && new Scorer(reference.model, plan, together)
  const scores = new Scores(plan.windows * plan.scored)
  const bos = subject.tokenizer.addsBos ? subject.tokenizer.bosTokenId : undefined
  const states = other && (await referenceStates(payload.referenceCache, other, ids, bos, plan))
  try {
    for (let index = 0; index < plan.windows; index++) {
      const tokens = windowTokens(ids, plan, index, bos)
      model.read(tokens, context)
      if (baseline && !(await states?.next(baseline.hidden))) {
        baseline.read(tokens, context)
        await states?.keep(baseline.hidden)
      }
      for (let row = 0; row < plan.scored; row += together) {
        context.throwIfAborted()
        const rows = Math.min(together, plan.scored - row)
        const targets = tokens.subarray(plan.first + 1 + row, plan.first + 1 + row + rows)
        const logits = model.logits(row, rows)
        scores.add(native.logitStatistics(logits, baseline?.logits(row, rows), targets, rows, vocabularySize))
      }
      context.progress({ done: index + 1, total: plan.windows, label: 'evaluating' })
    }
    await states?.finish()
  } finally {
    await states?.close()
  }
  return scores.evaluation((plan.windows * plan.window) / model.seconds)
}

async function referenceStates(
  folder: string | undefined,
  { model, source }: Subject,
  ids: Int32Array,
  bos: number | undefined,
  plan: WindowPlan,
): Promise<ReferenceStates | undefined> {
  if (folder === undefined) return undefined
  const tokens = createHash('sha256').update(ids).digest('hex')
  // Other kernels may round differently.
  const { kernels } = native.capabilities()
  const { config, activations } = model
  const identity = { packageVersion, source, config, activations, tokens, bos, plan, kernels }
  return openReferenceStates(folder, identity, { values: plan.scored * model.config.hiddenSize, windows: plan.windows })
}

async function open(path: string | null, context: JobContext, options: LoadOptions): Promise<Subject> {
  if (path === null) return loadedModel()
  const source = await openModel(path)
  try {
    const model = await Llama.load(source, { ...options, signal: context.signal })
    return {
      tokenizer: await source.tokenizer(),
      model,
      source: { path: resolve(path), fingerprint: source.fingerprint },
    }
  } finally {
    await source.close()
  }
}

function contextLength(...subjects: (Subject | undefined)[]): number {
  return Math.min(...subjects.map(subject => subject?.model.config.maximumPositions ?? Number.POSITIVE_INFINITY))
}

function checkSameTokens(subject: Subject, reference: Subject, ids: Int32Array, text: string): void {
  const sizes = [subject, reference].map(({ model }) => model.config.vocabularySize)
  if (sizes[0] !== sizes[1]) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `reference must have the model's vocabulary of ${sizes[0]} tokens, it has ${sizes[1]}`,
    )
  }
  const others = reference === subject ? ids : reference.tokenizer.encode(text, { special: true, parseSpecial: false })
  if (others.length !== ids.length || others.some((id, i) => id !== ids[i])) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      'reference must have the tokenizer of the model: it reads the text as other tokens',
    )
  }
}

/** One model on one window after another, and the time it takes. */
class Scorer {
  seconds = 0
  readonly #model: Llama
  readonly #plan: WindowPlan
  readonly #cache: KeyValueCache
  /** Hidden states of the scored positions of the last window. */
  readonly hidden: Float32Array
  readonly #logits: Float32Array

  /** @param together positions whose logits are asked for at a time, at most. */
  constructor(model: Llama, plan: WindowPlan, together: number) {
    this.#model = model
    this.#plan = plan
    this.#cache = model.newCache()
    this.hidden = new Float32Array(plan.scored * model.config.hiddenSize)
    this.#logits = new Float32Array(together * model.config.vocabularySize)
  }

  read(tokens: Int32Array, context: JobContext): void {
    const started = performance.now()
    const { hiddenSize } = this.#model.config
    const { first, scored } = this.#plan
    this.#cache.clear()
    for (const pass of this.#model.run(tokens, this.#cache, context.control)) {
      const from = Math.max(first, pass.start)
      const to = Math.min(first + scored, pass.start + pass.tokens)
      if (from >= to) continue
      const rows = pass.hidden.subarray((from - pass.start) * hiddenSize, (to - pass.start) * hiddenSize)
      this.hidden.set(rows, (from - first) * hiddenSize)
    }
    this.seconds += (performance.now() - started) / 1000
  }

  /** Logits at scored positions row .. row + rows - 1 of the last window, valid until the next call. */
  logits(row: number, rows: number): Float32Array {
    const started = performance.now()
    const { hiddenSize, vocabularySize } = this.#model.config
    const hidden = this.hidden.subarray(row * hiddenSize, (row + rows) * hiddenSize)
    const logits = this.#model.head(hidden, rows, this.#logits.subarray(0, rows * vocabularySize))
    this.seconds += (performance.now() - started) / 1000
    return logits
  }
}

/** The statistics of every scored token. */
class Scores {
  readonly #likelihood: Float64Array
  readonly #referenceLikelihood: Float64Array
  readonly #divergence: Float64Array
  #agreeing = 0
  #count = 0
  #compared = false

  constructor(tokens: number) {
    this.#likelihood = new Float64Array(tokens)
    this.#referenceLikelihood = new Float64Array(tokens)
    this.#divergence = new Float64Array(tokens)
  }

  add(statistics: LogitStatistics): void {
    const { negativeLogLikelihood, referenceNegativeLogLikelihood, klDivergence, sameTop } = statistics
    this.#likelihood.set(negativeLogLikelihood, this.#count)
    if (referenceNegativeLogLikelihood && klDivergence && sameTop) {
      this.#compared = true
      this.#referenceLikelihood.set(referenceNegativeLogLikelihood, this.#count)
      this.#divergence.set(klDivergence, this.#count)
      this.#agreeing += sameTop.reduce((sum, same) => sum + same, 0)
    }
    this.#count += negativeLogLikelihood.length
  }

  evaluation(tokensPerSecond: number): Evaluation {
    const evaluation = { perplexity: Math.exp(mean(this.#likelihood)), tokens: this.#count, tokensPerSecond }
    if (!this.#compared) return evaluation
    return {
      ...evaluation,
      klDivergence: distribution(this.#divergence),
      topAgreement: this.#agreeing / this.#count,
      reference: { perplexity: Math.exp(mean(this.#referenceLikelihood)) },
    }
  }
}
