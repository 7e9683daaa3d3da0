/**
 * The precision of a layer's inputs at run time: each token is rounded, behind the rotation, to what a path of low-bit
 * activations would multiply with. A property of the running layer, not of its weights.
 */
import { describe } from '../checkpoint/fields.js'
import { PyramidionError } from '../errors.js'
import { type ActivationSettings, type NativeActivationQuantizer, native } from '../native.js'
import { type PvqCodeOptions, type PvqQuantizer, type PvqRateOptions, pvq } from '../quantizers/pvq.js'
import { pvqSegments } from '../quantizers/pvq-levels.js'

/**
 * - `float`: single precision, as they come;
 * - `int8`: one scale a token, its largest magnitude at 127;
 * - `mxint8`, `mxint6`, ...: sign and magnitude in so many bits, an 8-bit exponent for 16 inputs (LQER, arXiv 2402.02446);
 * - the options of {@link pvq}: a token is coded like a row of weights.
 */
export type Activations = 'float' | 'int8' | `mxint${2 | 3 | 4 | 5 | 6 | 7 | 8}` | PvqCodeOptions | PvqRateOptions

/** Inputs that share an exponent. */
const MXINT_BLOCK = 16

/** Throws INVALID_ARGUMENT, or RATE_OUT_OF_RANGE for a PVQ rate, unless `activations` is one of {@link Activations}. */
export function checkActivations(activations: Activations, name = 'activations'): void {
  if (typeof activations === 'object' && activations !== null) {
    checkRowsCodable(pvq(activations), name)
    return
  }
  if (/^(float|int8|mxint[2-8])$/.test(activations)) return
  throw new PyramidionError(
    'INVALID_ARGUMENT',
    `${name} must be float, int8, mxint2 to mxint8 or the options of pvq(), got ${describe(activations)}`,
  )
}

/** Rows have groups of 2 or more; a quantizer for indices alone may have 1. */
function checkRowsCodable({ dimension }: PvqQuantizer, name: string): void {
  if (dimension > 1) return
  throw new PyramidionError('INVALID_ARGUMENT', `${name}: dimension must be 2, 4, 8, 16 or 32, got ${dimension}`)
}

/** What the `quantization_config` of a model at `path` asks for: `otherwise` when it says nothing. Throws INVALID_FILE. */
export function storedActivations(
  quantizationConfig: Readonly<Record<string, unknown>>,
  path: string,
  otherwise: Activations = 'float',
): Activations {
  const activations = (quantizationConfig.activations ?? otherwise) as Activations
  try {
    checkActivations(activations)
  } catch (error) {
    throw new PyramidionError('INVALID_FILE', `${path}: quantization_config: ${(error as Error).message}`)
  }
  return activations
}

const cache = new Map<string, NativeActivationQuantizer>()
const CACHE_ENTRIES = 32

/** Rounds tokens of `width` inputs; shared by all layers that ask for the same. Undefined for `float`. */
export function sharedActivationQuantizer(
  activations: Activations,
  width: number,
): NativeActivationQuantizer | undefined {
  if (activations === 'float') return undefined
  const key = JSON.stringify([activations, width])
  let quantizer = cache.get(key)
  if (quantizer === undefined) {
    quantizer = new native.ActivationQuantizer(width, settingsOf(activations, width))
    const [oldest] = cache.keys()
    if (cache.size >= CACHE_ENTRIES) cache.delete(oldest)
    cache.set(key, quantizer)
  }
  return quantizer
}

function settingsOf(activations: Exclude<Activations, 'float'>, width: number): ActivationSettings {
  if (activations === 'int8') return { kind: 'int8' }
  if (typeof activations === 'string') {
    return { kind: 'mxint', bits: Number(activations.slice('mxint'.length)), blockSize: MXINT_BLOCK }
  }
  return { kind: 'pvq', segments: pvqSegments(pvq(activations).segmentShapes(width), width) }
}
