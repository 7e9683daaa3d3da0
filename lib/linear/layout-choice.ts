/**
 * What `layout: 'auto'` comes to for a layer. With int8 activations it is measured, once in a process for each class of layers of
 * about the same code and shape: a sample of the first of them is timed in every layout.
 */
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { type MemoryLayout, native, type PvqWeights } from '../native.js'
import { type Activations, sharedActivationQuantizer } from './activations.js'
import type { Layout } from './layout.js'
import type { Placement } from './placement.js'

/** Weights of a sample for each thread: few enough for its caches, so many that starting it is little of the time. */
const SAMPLE_WEIGHTS = 1 << 17

/** Tokens that stand for a prompt. */
const PROMPT_TOKENS = 64

/** Another layout than the usual one has to save that much of the time: less is noise. */
const LEAST_SAVING = 0.05

/** Bytes that the process, or its container, must have left for the bandwidth to be measured, which takes up to 256 MiB for a moment. */
const LEAST_MEMORY = 2 ** 30

/** Most usual first. */
const layouts: readonly MemoryLayout[] = ['expanded', 'split', 'compact']

/** What a sample of a layer takes in one layout. */
export interface LayoutCost {
  layout: MemoryLayout
  /** Of the sample in this layout. */
  bytes: number
  /** For one token with the sample in the caches. */
  tokenSeconds: number
  /** For each of many tokens. */
  promptTokenSeconds: number
}

/**
 * The layout in which a generated token and a token of a prompt take the least time together. Weights come from memory for each
 * generated token: it takes as long as that, or as the computation where this is longer. A prompt shares them.
 * @param costs of one sample; the first is preferred to others that are hardly faster.
 * @param bandwidth bytes a second that all threads together read.
 */
export function cheapestLayout(costs: readonly LayoutCost[], bandwidth: number): MemoryLayout {
  const seconds = ({ bytes, tokenSeconds, promptTokenSeconds }: LayoutCost) =>
    Math.max(tokenSeconds, bytes / bandwidth) + promptTokenSeconds
  const [usual, ...others] = costs
  let best = { layout: usual.layout, seconds: seconds(usual) * (1 - LEAST_SAVING) }
  for (const cost of others) {
    if (seconds(cost) < best.seconds) best = { layout: cost.layout, seconds: seconds(cost) }
  }
  return best.layout
}

/** For a layer that computes where `placement` says: on a device, codes in memory are not multiplied. */
export async function chooseLayout(
  layout: Layout,
  { weights }: StoredWeights,
  activations: Activations,
  placement?: Placement,
): Promise<MemoryLayout> {
  if (placement?.product !== undefined) return 'compact'
  if (layout !== 'auto') return layout
  // Products in floats decode whatever the layout is, and codes as stored have the decoder.
  if (weights.format !== 'pvq' || activations !== 'int8') return 'compact'
  const { threads } = native.capabilities()
  const sample = firstRows(weights, Math.ceil((SAMPLE_WEIGHTS * threads) / weights.columns))
  return once(choices, JSON.stringify([threads, ...classOf(sample)]), async () =>
    cheapestLayout(await measure(sample), await readBandwidth(threads)),
  )
}

/** Of all threads. Where the memory that measuring takes may not be there, the caches decide alone. */
function readBandwidth(threads: number): Promise<number> {
  if (process.availableMemory() < LEAST_MEMORY) return Promise.resolve(Number.POSITIVE_INFINITY)
  return once(bandwidths, `${threads}`, native.readBandwidthAsync)
}

const choices = new Map<string, Promise<MemoryLayout>>()
const bandwidths = new Map<string, Promise<number>>()

function once<T>(results: Map<string, Promise<T>>, key: string, find: () => Promise<T>): Promise<T> {
  let result = results.get(key)
  if (result === undefined) {
    result = find()
    results.set(key, result)
    result.catch(() => results.delete(key))
  }
  return result
}

/** Equal for layers whose layouts compare alike: kinds of groups, whole bits of a rate, powers of two in size. */
function classOf({ rows, columns, segments, codes }: PvqWeights): unknown[] {
  const groups = segments.map(({ dimension, lattice }) => `${lattice ?? 'integer'} ${dimension}`)
  const bits = Math.round((8 * codes.length) / (rows * columns))
  return [[...new Set(groups)], bits, Math.round(Math.log2(rows * columns))]
}

async function measure(weights: PvqWeights): Promise<LayoutCost[]> {
  const activations = sharedActivationQuantizer('int8', weights.columns)
  const costs: LayoutCost[] = []
  for (const layout of layouts) {
    const linear = new native.Linear({ weights, activations, layout })
    if (linear.layout !== layout) continue
    const tokenSeconds = await linear.leastSecondsAsync(1)
    const promptTokenSeconds = (await linear.leastSecondsAsync(PROMPT_TOKENS)) / PROMPT_TOKENS
    costs.push({ layout, bytes: linear.bytes, tokenSeconds, promptTokenSeconds })
  }
  return costs
}

function firstRows(weights: PvqWeights, count: number): PvqWeights {
  const rows = Math.min(weights.rows, count)
  const rowBytes = weights.codes.length / weights.rows
  return {
    ...weights,
    rows,
    codes: weights.codes.subarray(0, rows * rowBytes),
    rowScale: weights.rowScale.subarray(0, rows),
  }
}
