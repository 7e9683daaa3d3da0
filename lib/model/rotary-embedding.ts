/**
 * Rotary position embedding (RoFormer, arXiv 2104.09864) with the scaling variants of long-context models. Angles are
 * computed in double and tabulated for as many positions as have been asked for.
 */
import type { ModelConfig, RopeScaling } from '../checkpoint/model-config.js'

/** Angle a position of each pair of dimensions, headDimension / 2 of them, scaling taken in. */
export function rotaryFrequencies({ headDimension, rope }: Pick<ModelConfig, 'headDimension' | 'rope'>): Float64Array {
  const plain = Float64Array.from({ length: headDimension / 2 }, (_, i) => rope.theta ** ((-2 * i) / headDimension))
  return rope.scaling === undefined ? plain : scaled(plain, rope.scaling, rope.theta, headDimension)
}

function scaled(plain: Float64Array, scaling: RopeScaling, theta: number, headDimension: number): Float64Array {
  switch (scaling.kind) {
    case 'linear':
      return plain.map(frequency => frequency / scaling.factor)
    case 'factors':
      return plain.map((frequency, i) => frequency / scaling.factors[i])
    case 'llama3': {
      // Turns within the original context: few are interpolated, many kept, a linear blend in between.
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaximumPositions } = scaling
      return plain.map(frequency => {
        const turns = (originalMaximumPositions * frequency) / (2 * Math.PI)
        const kept = clamp((turns - low) / (high - low))
        return frequency * (kept + (1 - kept) / factor)
      })
    }
    case 'yarn': {
      // arXiv 2309.00071, section 3.2: dimensions that turn beta times within the original context bound the ramp.
      const { factor, originalMaximumPositions, betaFast, betaSlow, truncate } = scaling
      const dimensionOf = (turns: number) =>
        (headDimension * Math.log(originalMaximumPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
      const first = dimensionOf(betaFast)
      const last = dimensionOf(betaSlow)
      const low = Math.max(truncate ? Math.floor(first) : first, 0)
      const high = Math.min(truncate ? Math.ceil(last) : last, headDimension - 1)
      const width = high === low ? 0.001 : high - low
      return plain.map((frequency, i) => {
        const interpolated = clamp((i - low) / width)
        return frequency * (1 - interpolated + interpolated / factor)
      })
    }
  }
}

const clamp = (share: number) => Math.min(Math.max(share, 0), 1)

/** Of the positions past .. past + tokens - 1: tokens x headDimension / 2 each. */
interface RotaryTables {
  past: number
  tokens: number
  cosine: Float32Array
  sine: Float32Array
}

export class RotaryEmbedding {
  readonly #frequencies: Float64Array
  readonly #magnitude: number
  #positions = 0
  #cosine = new Float32Array()
  #sine = new Float32Array()
  #last?: RotaryTables

  constructor(config: Pick<ModelConfig, 'headDimension' | 'rope'>) {
    this.#frequencies = rotaryFrequencies(config)
    this.#magnitude = config.rope.scaling?.kind === 'yarn' ? config.rope.scaling.attentionFactor : 1
  }

  /** Cosines and sines of these positions; every block of a model asks for the same. */
  tables(past: number, tokens: number): RotaryTables {
    if (this.#last?.past !== past || this.#last.tokens !== tokens) {
      if (past + tokens > this.#positions) this.#extend(Math.max(past + tokens, 2 * this.#positions))
      const half = this.#frequencies.length
      const cut = (table: Float32Array) => table.subarray(past * half, (past + tokens) * half)
      this.#last = { past, tokens, cosine: cut(this.#cosine), sine: cut(this.#sine) }
    }
    return this.#last
  }

  #extend(positions: number): void {
    const half = this.#frequencies.length
    const cosine = new Float32Array(positions * half)
    const sine = new Float32Array(positions * half)
    cosine.set(this.#cosine)
    sine.set(this.#sine)
    for (let position = this.#positions; position < positions; position++) {
      for (let i = 0; i < half; i++) {
        const angle = position * this.#frequencies[i]
        cosine[position * half + i] = Math.cos(angle) * this.#magnitude
        sine[position * half + i] = Math.sin(angle) * this.#magnitude
      }
    }
    this.#positions = positions
    this.#cosine = cosine
    this.#sine = sine
  }
}
