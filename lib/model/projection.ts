/** One linear layer of the graph, plain or quantized, and the reading of vectors (norms, biases) that go with them. */
import type { RotationMetadata } from '../checkpoint/quantized-metadata.js'
import { readWeights, type StoredWeights, type WeightSource } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { type Activations, sharedActivationQuantizer } from '../linear/activations.js'
import type { Layout } from '../linear/layout.js'
import { chooseLayout } from '../linear/layout-choice.js'
import type { Placement } from '../linear/placement.js'
import { sharedRotation } from '../linear/rotation.js'
import { type DenseFormat, type MemoryLayout, type NativeLinear, type NativeRotation, native } from '../native.js'
import type { Placer } from './model-placement.js'

export class Projection {
  private constructor(
    readonly linear: NativeLinear,
    readonly inFeatures: number,
    readonly outFeatures: number,
    /** Null when the stored matrix takes inputs as they are. */
    readonly rotation: RotationMetadata | null,
    readonly activations: Activations,
    private readonly layout: MemoryLayout,
    readonly device: Placement['device'],
    private readonly bias?: Float32Array,
  ) {}

  /**
   * Loads `name.weight`, kept in memory in its stored form or, where its codes are PVQ, in `layout`, and `name.bias` when asked
   * for. Inputs are rounded to `activations`. It computes where `place` puts it, by default on the processor. `transform` gets the
   * weights as read and returns those to load.
   */
  static async load(
    source: WeightSource,
    name: string,
    bias: boolean,
    signal?: AbortSignal,
    activations: Activations = 'float',
    layout: Layout = 'auto',
    place?: Placer,
    transform?: (stored: StoredWeights) => Promise<StoredWeights>,
  ): Promise<Projection> {
    const read = await readWeights(source, `${name}.weight`, signal)
    const stored = transform === undefined ? read : await transform(read)
    const vector = bias ? await readVector(source, `${name}.bias`, signal) : undefined
    const placement = await place?.(stored, { activations, bias: vector, layout })
    const chosen = await chooseLayout(layout, stored, activations, placement)
    return Projection.#of(stored, activations, chosen, vector, placement)
  }

  static #of(
    { weights, rotation, lowRank }: StoredWeights,
    activations: Activations,
    layout: MemoryLayout,
    bias?: Float32Array,
    { device, product }: Placement = { device: 'cpu' },
  ): Projection {
    const linear = new native.Linear({
      weights,
      rotation: rotation === null ? undefined : sharedRotation(weights.columns, rotation.seed),
      activations: sharedActivationQuantizer(activations, weights.columns),
      layout,
      lowRank,
      bias,
      device: product,
    })
    return new Projection(linear, weights.columns, weights.rows, rotation, activations, layout, device, bias)
  }

  /** The same layer, its bias included, with other weights, on the processor. */
  withWeights(stored: StoredWeights): Projection {
    return Projection.#of(stored, this.activations, this.layout, this.bias)
  }

  /** y (tokens x out) = W x + bias for x (tokens x in); `prepared`: x went through {@link commonPreparation} already. */
  forward(x: Float32Array, tokens: number, y: Float32Array, prepared = false): void {
    this.linear.forward(x, tokens, y, prepared)
  }
}

/** The rotation that all of these projections apply to their common input, so that it is done once. */
export function commonRotation(projections: Projection[]): NativeRotation | undefined {
  const [first] = projections
  if (first.rotation === null || !rotateAlike(projections)) return undefined
  return sharedRotation(first.inFeatures, first.rotation.seed)
}

/** Turns and rounds an input (tokens x in) in place. */
export type Preparation = (x: Float32Array, tokens: number) => void

/**
 * All that these projections of one model do to their common input, so that it is done once; undefined when they differ, and
 * when a GPU turns and rounds for all of them.
 */
export function commonPreparation(projections: Projection[]): Preparation | undefined {
  if (!rotateAlike(projections)) return undefined
  const onDevice = ({ device, activations }: Projection) =>
    device !== 'cpu' && (activations === 'float' || activations === 'int8')
  if (projections.every(onDevice)) return undefined
  const rotation = commonRotation(projections)
  const [{ activations, inFeatures }] = projections
  const quantizer = sharedActivationQuantizer(activations, inFeatures)
  return (x, tokens) => {
    rotation?.apply(x, tokens, false)
    quantizer?.apply(x, tokens)
  }
}

const rotateAlike = ([first, ...others]: Projection[]): boolean =>
  others.every(other => other.rotation?.seed === first.rotation?.seed)

/** A vector of the checkpoint as floats. Throws NOT_FINITE when it holds NaN or an infinity. */
export async function readVector(source: WeightSource, name: string, signal?: AbortSignal): Promise<Float32Array> {
  const { format, shape } = source.tensors.get(name) ?? missing(source, name)
  const values = new Float32Array(shape[0])
  const data = await source.read(name, signal)
  native.decodeRows({ format: format as DenseFormat, rows: 1, columns: shape[0], data }, 0, 1, values)
  const position = native.firstNonFinite(values)
  if (position >= 0) {
    throw new PyramidionError('NOT_FINITE', `${source.path}: tensor ${name} holds ${values[position]} at ${position}`)
  }
  return values
}

function missing(source: WeightSource, name: string): never {
  throw new PyramidionError('MISSING_TENSOR', `${source.path}: has no tensor ${name}`)
}
