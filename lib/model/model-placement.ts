/**
 * Where the layers of a model run. Under `cuda` and `auto` every layer that a kernel multiplies goes to the GPU; what stays with
 * the processor, and why, is kept to be said.
 */

import type { ModelSource } from '../checkpoint/model-source.js'
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'
import type { StoredWeights } from '../checkpoint/read-weights.js'
import type { ChosenDevice } from '../device.js'
import { PyramidionError } from '../errors.js'
import { type PlacedLayer, type Placement, place } from '../linear/placement.js'

/** A byte a pulse, and four for the gain of each group, in each sixteen columns of it. */
function expandedBytes(matrix: QuantizedTensorMetadata): number {
  if (matrix.format !== 'pvq') return 0
  return matrix.segments.reduce(
    (sum, { columns, dimension }) => sum + matrix.rows * columns * (1 + 4 / Math.min(16, dimension)),
    0,
  )
}

/** Where a layer of these weights runs. */
export type Placer = (stored: StoredWeights, layer: PlacedLayer) => Promise<Placement>

/** What a choice of device came to for a whole model. */
export interface ModelPlace {
  device: 'cpu' | 'cuda'
  /** Layers on the GPU. */
  deviceLayers: number
  /** What computes on the processor though a GPU was asked for, and why. */
  deviceFallback?: string
}

export class ModelPlacement {
  /** Layers that stayed with the processor, by the reason. */
  readonly #stayed = new Map<string, number>()
  #placed = 0

  /** `required`: a model of which nothing can run on the device is refused, and so is one that does not fit. */
  constructor(
    private readonly device: 'cpu' | 'cuda',
    private readonly required: boolean,
    /** What `layout: 'auto'` is for its layers. */
    private readonly usualLayout: 'compact' | 'auto',
  ) {}

  /** Expanded codes are for models that leave half of the device's memory free. */
  static of(source: ModelSource, chosen: ChosenDevice, required: boolean): ModelPlacement {
    const bytes = [...source.quantized.values()].reduce((sum, matrix) => sum + expandedBytes(matrix), 0)
    const fits = bytes <= (chosen.memoryBytes ?? 0) / 2
    return new ModelPlacement(chosen.device, required, fits ? 'auto' : 'compact')
  }

  readonly place: Placer = async (stored, layer) => {
    if (this.device === 'cpu') return { device: 'cpu' }
    try {
      const { layout = 'auto' } = layer
      const placed = { ...layer, layout: layout === 'auto' ? this.usualLayout : layout }
      const placement = await place({ device: this.device }, stored, placed, { device: this.device })
      this.#placed++
      return placement
    } catch (error) {
      if (!(error instanceof PyramidionError)) throw error
      if (this.required && error.code !== 'UNSUPPORTED_FORMAT') throw error
      this.#stayed.set(error.message, (this.#stayed.get(error.message) ?? 0) + 1)
      return { device: 'cpu', fallback: error.message }
    }
  }

  /** Once all layers are placed. Throws UNSUPPORTED_FORMAT when a device is required and has none of them. */
  result(): ModelPlace {
    const reasons = [...this.#stayed].map(
      ([reason, layers]) => `${layers} ${layers === 1 ? 'layer' : 'layers'}: ${reason}`,
    )
    const deviceFallback = reasons.length === 0 ? undefined : reasons.join('; ')
    if (this.device === 'cuda' && this.#placed === 0 && this.required) {
      throw new PyramidionError('UNSUPPORTED_FORMAT', `nothing of the model can run on a GPU: ${deviceFallback}`)
    }
    return { device: this.#placed > 0 ? 'cuda' : 'cpu', deviceLayers: this.#placed, deviceFallback }
  }
}
