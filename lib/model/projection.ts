/** One linear layer of the graph, plain or quantized, and the reading of vectors (norms, biases) that go with them. */
import type { ModelSource } from '../checkpoint/model-source.js'
import type { RotationMetadata } from '../checkpoint/quantized-metadata.js'
import { readWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { sharedRotation } from '../linear/rotation.js'
import { type DenseFormat, type NativeLinear, type NativeRotation, native } from '../native.js'

export class Projection {
  private constructor(
    readonly linear: NativeLinear,
    readonly inFeatures: number,
    readonly outFeatures: number,
    /** Null when the stored matrix takes inputs as they are. */
    readonly rotation: RotationMetadata | null,
  ) {}

  /** Loads `name.weight`, kept in memory in its stored form, and `name.bias` when asked for. */
  static async load(source: ModelSource, name: string, bias: boolean, signal?: AbortSignal): Promise<Projection> {
    const { weights, rotation, lowRank } = await readWeights(source, `${name}.weight`, signal)
    const linear = new native.Linear({
      weights,
      rotation: rotation === null ? undefined : sharedRotation(weights.columns, rotation.seed),
      lowRank,
      bias: bias ? await readVector(source, `${name}.bias`, signal) : undefined,
    })
    return new Projection(linear, weights.columns, weights.rows, rotation)
  }

  /** y (tokens x out) = W x + bias for x (tokens x in); `rotated`: x went through {@link commonRotation} already. */
  forward(x: Float32Array, tokens: number, y: Float32Array, rotated = false): void {
    this.linear.forward(x, tokens, y, rotated)
  }
}

/** The rotation that all of these projections apply to their common input, so that it is done once. */
export function commonRotation(projections: Projection[]): NativeRotation | undefined {
  const [first, ...others] = projections
  if (first.rotation === null || others.some(other => other.rotation?.seed !== first.rotation?.seed)) return undefined
  return sharedRotation(first.inFeatures, first.rotation.seed)
}

/** A vector of the checkpoint as floats. Throws NOT_FINITE when it holds NaN or an infinity. */
export async function readVector(source: ModelSource, name: string, signal?: AbortSignal): Promise<Float32Array> {
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

function missing(source: ModelSource, name: string): never {
  throw new PyramidionError('MISSING_TENSOR', `${source.path}: has no tensor ${name}`)
}
