/**
 * Recovery without labels: when all layers are rounded, what can still change without their codes (row scales, gain levels, norm
 * weights) is refitted so that the whole model predicts what the original does: Adam on KL(original || quantized) over
 * calibration windows. Windows that take no part tell whether it helped on text that it was not fitted to.
 */
import type { GraphSource } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { RandomSource } from '../model/random-source.js'
import type { Progress } from '../worker/job.js'
import type { ActivationSpace } from './activation-store.js'
import { RefittedVector } from './refitted-vector.js'
import { Student } from './student.js'
import { Teacher } from './teacher.js'

/** Windows a step. */
const BATCH = 4
/** Largest change a step, relative: it rises over the first steps, then falls along a cosine. */
const RATE = 2e-3
const WARM_UP = 0.05
/** Of the windows, one in so many is held out, but no more than the most. */
const HELD_OUT_SHARE = 8
const MOST_HELD_OUT = 8
/** A backward pass, its forward pass and the gradients at scales, in forward passes. */
const BACKWARD_COST = 4

export interface RecoveryOptions {
  steps: number
  /** Of the order of windows. */
  seed: number
  /** For hidden states. */
  space: ActivationSpace
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
  /** Called often; may throw. */
  poll?: () => void
}

export interface Recovery {
  /** KL divergence from the original over the windows held out, in nats a token. */
  divergenceBefore: number
  divergenceAfter: number
  /** By the name of their tensor: row scales that are halves, levels, norm weights. */
  values: Map<string, Float32Array>
}

/** Windows of token ids to fit to, and to see by. */
export interface SplitWindows {
  fitted: Int32Array[]
  heldOut: Int32Array[]
}

/** Throws EMPTY where there is but one. */
export function splitWindows(windows: Int32Array[]): SplitWindows {
  const held = Math.min(MOST_HELD_OUT, Math.max(1, Math.floor(windows.length / HELD_OUT_SHARE)))
  if (held >= windows.length) {
    throw new PyramidionError('EMPTY', 'recovery needs calibration text of at least two windows of 512 tokens')
  }
  const places = new Set(Array.from({ length: held }, (_, i) => Math.floor(((i + 0.5) * windows.length) / held)))
  return {
    fitted: windows.filter((_, i) => !places.has(i)),
    heldOut: windows.filter((_, i) => places.has(i)),
  }
}

/** Work of {@link recover}, in forward passes of a window. */
export function recoveryPasses({ fitted, heldOut }: SplitWindows, steps: number): number {
  const batch = Math.min(BATCH, fitted.length)
  return Math.min(steps * batch, fitted.length) + 3 * heldOut.length + steps * batch * BACKWARD_COST
}

/** Neither model changes on disk. The quantized one is held in memory, in its stored form. */
export async function recover(
  original: GraphSource,
  quantized: GraphSource,
  split: SplitWindows,
  options: RecoveryOptions,
): Promise<Recovery> {
  const { fitted, heldOut } = split
  const { steps, space, signal, poll } = options
  const drawn = drawWindows(fitted.length, steps, options.seed)
  const read = [...new Set(drawn.flat())]
  const windows = [...read.map(window => fitted[window]), ...heldOut]
  const meter = new Meter(options, recoveryPasses(split, steps))
  const teacher = await Teacher.read(original, windows, {
    space,
    signal,
    onPass(done) {
      poll?.()
      meter.at(done / original.config.layers)
    },
  })
  const longest = Math.max(...windows.map(({ length }) => length))
  const student = await Student.load(quantized, { space, longest, signal, poll })
  try {
    meter.at(windows.length)
    const heldOutDivergence = async () => {
      let sum = 0
      for (const [i, ids] of heldOut.entries()) {
        sum += await student.divergence(ids, await teacher.reference(read.length + i))
        meter.add(1)
      }
      return sum / tokensOf(heldOut)
    }
    const divergenceBefore = await heldOutDivergence()
    const vectors = student.refittables.map(refittable => new RefittedVector(refittable))
    for (const [step, batch] of drawn.entries()) {
      student.clear()
      for (const window of batch) {
        await student.differentiate(fitted[window], await teacher.reference(read.indexOf(window)))
        meter.add(BACKWARD_COST)
      }
      const tokens = tokensOf(batch.map(window => fitted[window]))
      for (const vector of vectors) vector.step(tokens, rateOf(step, steps))
    }
    const divergenceAfter = await heldOutDivergence()
    const values = new Map(vectors.map(vector => [vector.name, vector.values()]))
    return { divergenceBefore, divergenceAfter, values }
  } finally {
    await teacher.close()
    await student.close()
  }
}

/** The windows of every step, each as often as any other but for one. */
function drawWindows(windows: number, steps: number, seed: number): number[][] {
  const random = new RandomSource(seed)
  let order: number[] = []
  return Array.from({ length: steps }, () =>
    Array.from({ length: Math.min(BATCH, windows) }, () => {
      if (order.length === 0) order = Array.from({ length: windows }, (_, i) => i)
      const [window] = order.splice(Math.floor(random.next() * order.length), 1)
      return window
    }),
  )
}

function rateOf(step: number, steps: number): number {
  const rise = Math.min(1, (step + 1) / (WARM_UP * steps))
  return (RATE * rise * (1 + Math.cos((Math.PI * step) / steps))) / 2
}

function tokensOf(windows: Int32Array[]): number {
  return windows.reduce((sum, { length }) => sum + length, 0)
}

/** Progress in forward passes. */
class Meter {
  #done = 0

  constructor(
    private readonly options: RecoveryOptions,
    private readonly total: number,
  ) {}

  at(done: number): void {
    this.#done = done
    this.options.onProgress?.({ done, total: this.total, label: 'recovery' })
  }

  add(passes: number): void {
    this.at(this.#done + passes)
  }
}
