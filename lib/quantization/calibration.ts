/**
 * Walks through a model one block at a time over calibration text and gathers what the linear layers of that block see. Only
 * one block's weights and statistics are in memory, and the hidden states of all the text.
 */
import type { ModelSource } from '../checkpoint/model-source.js'
import { PyramidionError } from '../errors.js'
import { Hessian } from '../linear/hessian.js'
import { Block, type LinearInput } from '../model/block.js'
import { EmbeddingAndHead } from '../model/embedding-and-head.js'
import { KeyValueCache } from '../model/key-value-cache.js'
import { Workspace } from '../model/workspace.js'

/** Tokens the model reads at once, as evaluation does by default. */
const WINDOW = 512
/** Evenly spread over the text when it is longer. */
const MOST_WINDOWS = 128

/** The input that feeds each projection. */
const inputOf: Record<string, LinearInput> = {
  'self_attn.q_proj': 'attention',
  'self_attn.k_proj': 'attention',
  'self_attn.v_proj': 'attention',
  'self_attn.o_proj': 'attentionOutput',
  'mlp.gate_proj': 'mlp',
  'mlp.up_proj': 'mlp',
  'mlp.down_proj': 'mlpDown',
}

export class Calibration {
  readonly #cache: KeyValueCache
  readonly #workspace: Workspace

  private constructor(
    private readonly source: ModelSource,
    private readonly windows: Int32Array[],
    /** Hidden states, one window after another, moving up block by block. */
    private readonly hidden: Float32Array[],
  ) {
    this.#cache = new KeyValueCache(source.config, 1)
    this.#cache.reserve(Math.max(...windows.map(window => window.length)))
    this.#workspace = new Workspace(source.config)
  }

  static async start(source: ModelSource, windows: Int32Array[], signal?: AbortSignal): Promise<Calibration> {
    const ends = await EmbeddingAndHead.load(source, signal)
    return new Calibration(
      source,
      windows,
      windows.map(ids => ends.embed(ids)),
    )
  }

  /** Runs the next block and returns what its linear layers saw. Blocks must be asked for in order. */
  async block(layer: number, poll: () => void, signal?: AbortSignal): Promise<Map<LinearInput, Hessian>> {
    const block = await Block.load(this.source, layer, signal)
    const statistics = new Map<LinearInput, Hessian>()
    for (const [i, window] of this.windows.entries()) {
      poll()
      block.forward(this.hidden[i], window.length, this.#cache.layers[0], 0, this.#workspace, (input, x, tokens) => {
        let hessian = statistics.get(input)
        if (hessian === undefined) {
          hessian = new Hessian(x.length / tokens)
          statistics.set(input, hessian)
        }
        hessian.add(x, tokens)
      })
    }
    return statistics
  }
}

/** The statistics for a projection by the name of its weight. */
export function hessianOf(weight: string, statistics: Map<LinearInput, Hessian>): Hessian | undefined {
  const [, projection] = /\.((?:self_attn|mlp)\.\w+_proj)\.weight$/.exec(weight) ?? []
  return statistics.get(inputOf[projection])
}

/** Windows of token ids, each with the beginning-of-text token in front where the model wants one. Throws EMPTY. */
export async function calibrationWindows(source: ModelSource, texts: string[]): Promise<Int32Array[]> {
  const tokenizer = await source.tokenizer()
  const length = Math.min(WINDOW, source.config.maximumPositions)
  const windows: Int32Array[] = []
  for (const text of texts) {
    const ids = tokenizer.encode(text)
    for (let start = 0; start < ids.length; start += length) {
      const window = ids.slice(start, start + length)
      if (tokenizer.addsBos && tokenizer.bosTokenId !== undefined) window[0] = tokenizer.bosTokenId
      windows.push(window)
    }
  }
  if (windows.length === 0) throw new PyramidionError('EMPTY', 'calibration holds no token')
  if (windows.length <= MOST_WINDOWS) return windows
  return Array.from({ length: MOST_WINDOWS }, (_, i) => windows[Math.floor((i * windows.length) / MOST_WINDOWS)])
}
