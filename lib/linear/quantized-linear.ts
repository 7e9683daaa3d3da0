/**
 * A quantized linear layer, y = W x + b: decoded inside the product, with its rotation and low-rank correction. Made by
 * quantizeLinear, or from the tensors a quantized folder stores.
 */
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { type MemoryLayout, type NativeLinear, native } from '../native.js'
import { checkMatrix } from '../quantizers/matrix-values.js'
import { storedBits } from '../quantizers/stored-bits.js'
import { type Activations, checkActivations, sharedActivationQuantizer } from './activations.js'
import { checkLayout, type Layout } from './layout.js'
import { chooseLayout } from './layout-choice.js'
import { type LinearTensors, linearTensors, readLinear } from './linear-tensors.js'
import { choosePlace, type DeviceOptions, type Placement, place } from './placement.js'
import { sharedRotation } from './rotation.js'

/** Weights that dequantizeAsync decodes before it lets the event loop run. */
const SLICE_WEIGHTS = 1 << 20

/** Where and how a layer runs. */
export interface RunOptions extends DeviceOptions {
  /** The form the codes have in memory. Default `auto`. */
  layout?: Layout
}

export class QuantizedLinear {
  readonly outFeatures: number
  readonly inFeatures: number
  /** Shapes and settings, as a quantized folder stores them. */
  readonly metadata: QuantizedTensorMetadata
  readonly bias?: Float32Array
  /** What inputs are rounded to. */
  readonly activations: Activations
  /** Where it computes. */
  readonly device: 'cpu' | 'cuda'
  /** Why it computes on the processor though `auto` was asked for. */
  readonly deviceFallback?: string
  #stored?: StoredWeights
  #linear?: NativeLinear

  /** @internal Use quantizeLinear or {@link QuantizedLinear.fromTensors}. */
  constructor(
    stored: StoredWeights,
    bias?: Float32Array,
    activations: Activations = 'float',
    placement: Placement = { device: 'cpu' },
    layout: MemoryLayout = 'compact',
  ) {
    const { weights, rotation, lowRank } = stored
    this.outFeatures = weights.rows
    this.inFeatures = weights.columns
    this.metadata = linearTensors(stored).metadata
    this.bias = bias
    this.activations = activations
    this.device = placement.device
    this.deviceFallback = placement.fallback
    this.#stored = stored
    this.#linear = new native.Linear({
      weights,
      rotation: rotation === null ? undefined : sharedRotation(weights.columns, rotation.seed),
      activations: sharedActivationQuantizer(activations, weights.columns),
      layout,
      lowRank,
      bias,
      device: placement.product,
    })
  }

  /**
   * The layer whose {@link metadata} and {@link tensors} these are. Everything is checked: throws INVALID_FILE for settings
   * or values out of range, INVALID_SHAPE for a tensor or bias of another length, INVALID_ARGUMENT for activations or a
   * layout there are not. With a device other than `cpu` also DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY, and
   * UNSUPPORTED_FORMAT for weights that no kernel multiplies; see {@link DeviceOptions}.
   */
  static async fromTensors(
    metadata: QuantizedTensorMetadata,
    tensors: LinearTensors,
    bias?: Float32Array,
    activations: Activations = 'float',
    options: RunOptions = {},
  ): Promise<QuantizedLinear> {
    checkActivations(activations)
    checkLayout(options.layout ?? 'auto')
    const chosen = await choosePlace(options)
    const stored = await readLinear(metadata, tensors)
    checkBias(bias, metadata.rows)
    const placement = await place(chosen, stored, { activations, bias, layout: options.layout }, options)
    const layout = await chooseLayout(options.layout ?? 'auto', stored, activations, placement)
    return new QuantizedLinear(stored, bias, activations, placement, layout)
  }

  /** The stored parts as bytes, by suffix: `codes`, `row_scale`, `levels`, `lowrank_a`, ... */
  tensors(): LinearTensors {
    return linearTensors(this.#parts.stored).tensors
  }

  /** Bits a weight of everything stored: codes, padding, scales, levels, low-rank factors. The bias is not a weight. */
  get bitsPerWeight(): number {
    return storedBits(this.metadata) / (this.outFeatures * this.inFeatures)
  }

  /** Rank of the low-rank correction; 0 when there is none. */
  get rank(): number {
    return this.metadata.rank
  }

  /** The form the codes have in memory: what was asked for, or what `auto` came to. Undefined for weights that are not PVQ. */
  get layout(): MemoryLayout | undefined {
    return this.#parts.linear.layout
  }

  /** Bits a weight of the form in memory: what a product of one token reads. */
  get bitsInMemory(): number {
    return (8 * this.memoryBytes) / (this.outFeatures * this.inFeatures)
  }

  /** Bytes the weights occupy in memory of the process; on a device, it keeps them for what is not a product. */
  get memoryBytes(): number {
    return this.#parts.linear.bytes
  }

  /** Bytes the layer occupies on its device; 0 on the processor. */
  get deviceBytes(): number {
    return this.#parts.linear.deviceBytes
  }

  /**
   * y (tokens x outFeatures) for x (tokens x inFeatures), row-major. Uses all threads but blocks the caller's; see
   * {@link forwardAsync}. Throws INVALID_SHAPE, EMPTY, NOT_FINITE, DISPOSED; on a device DEVICE_ERROR and OUT_OF_MEMORY.
   */
  forward(x: Float32Array, tokens = 1): Float32Array {
    const { linear } = this.#parts
    checkMatrix(x, tokens, this.inFeatures, 'x')
    const y = new Float32Array(tokens * this.outFeatures)
    linear.forward(x, tokens, y, false)
    return y
  }

  /** The same off the caller's thread; x must not change until it settles. */
  async forwardAsync(x: Float32Array, tokens = 1): Promise<Float32Array> {
    const { linear } = this.#parts
    checkMatrix(x, tokens, this.inFeatures, 'x')
    const y = new Float32Array(tokens * this.outFeatures)
    await linear.forwardAsync(x, tokens, y, false)
    return y
  }

  /** The effective matrix, outFeatures x inFeatures: rotation undone, low-rank term added. */
  dequantize(): Float32Array {
    const out = new Float32Array(this.outFeatures * this.inFeatures)
    this.#parts.linear.gatherRows(rowNumbers(0, this.outFeatures), out)
    return out
  }

  /** The same in slices between which the event loop runs. */
  async dequantizeAsync(): Promise<Float32Array> {
    const out = new Float32Array(this.outFeatures * this.inFeatures)
    const slice = Math.max(1, Math.floor(SLICE_WEIGHTS / this.inFeatures))
    for (let first = 0; first < this.outFeatures; first += slice) {
      const end = Math.min(first + slice, this.outFeatures)
      const part = out.subarray(first * this.inFeatures, end * this.inFeatures)
      this.#parts.linear.gatherRows(rowNumbers(first, end), part)
      await new Promise(setImmediate)
    }
    return out
  }

  /** Lets go of the memory; the layer cannot be used any more. Calling it again does nothing. */
  dispose(): void {
    this.#linear = undefined
    this.#stored = undefined
  }

  get #parts(): { stored: StoredWeights; linear: NativeLinear } {
    if (this.#linear === undefined || this.#stored === undefined) {
      throw new PyramidionError('DISPOSED', 'the layer was disposed')
    }
    return { stored: this.#stored, linear: this.#linear }
  }
}

const rowNumbers = (first: number, end: number): Int32Array =>
  Int32Array.from({ length: end - first }, (_, i) => first + i)

/** Throws INVALID_SHAPE or NOT_FINITE unless bias is absent or has one finite value an output. */
export function checkBias(bias: Float32Array | undefined, outFeatures: number): void {
  if (bias === undefined) return
  if (bias.length !== outFeatures) {
    throw new PyramidionError('INVALID_SHAPE', `bias must have ${outFeatures} values, got ${bias.length}`)
  }
  checkMatrix(bias, 1, outFeatures, 'bias')
}
