/**
 * Parts of the method that can be turned off or set, to measure what each is worth: the ablation of docs/accuracy.md. Not for
 * everyday use; they may change in any version.
 */
import { PyramidionError } from '../errors.js'
import type { GuideSettings } from '../native.js'
import { checkInteger } from '../quantizers/matrix-values.js'

/** Beside the settings of guided rounding: */
export interface AdvancedOptions extends Partial<GuideSettings> {
  /** Rotate the inputs of PVQ layers. Default true. */
  rotation?: boolean
  /** Calibrate with the inputs that the quantized model has, and correct for their drift. Default true. */
  propagation?: boolean
  /** Times that low-rank factors and codes are fitted to each other, 0 to 100. Default 1. */
  refits?: number
  /** Weigh errors by how much the loss depends on them (Fisher information), not by the size of inputs alone. Default true. */
  sensitivity?: boolean
  /** Of that, in the weights of inputs: half of them by their size, half by the loss. Default true. */
  fisherMix?: boolean
  /** Of that, over the outputs: errors of rows are weighed together and fed from row to row. Default true. */
  outputCoupling?: boolean
  /** Give each layer the rate that its expected loss deserves; needs `sensitivity`. Default true. */
  allocation?: boolean
}

const checks: Record<keyof AdvancedOptions, (name: string, value: unknown) => void> = {
  rotation: checkBoolean,
  propagation: checkBoolean,
  refits: (name, value) => checkInteger(name, value as number, 0, 100),
  sensitivity: checkBoolean,
  fisherMix: checkBoolean,
  outputCoupling: checkBoolean,
  allocation: checkBoolean,
  feedback: checkBoolean,
  ordered: checkBoolean,
  moves: (name, value) => checkInteger(name, value as number, 0, 1000),
  sweeps: (name, value) => checkInteger(name, value as number, 0, 1000),
  ridge: (name, value) => {
    if (typeof value === 'number' && value >= 1e-9 && value <= 1e9) return
    throw new PyramidionError('INVALID_ARGUMENT', `${name} must be between 1e-9 and 1e9, got ${value}`)
  },
}

/** Throws INVALID_ARGUMENT. */
export function checkAdvanced(options: AdvancedOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw new PyramidionError('INVALID_ARGUMENT', `advanced must be an object, got ${options}`)
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(checks, name)) {
      const known = Object.keys(checks).join(', ')
      throw new PyramidionError('INVALID_ARGUMENT', `advanced has no option ${name}; there are ${known}`)
    }
    checks[name as keyof AdvancedOptions](`advanced.${name}`, value)
  }
}

function checkBoolean(name: string, value: unknown): void {
  if (typeof value === 'boolean') return
  throw new PyramidionError('INVALID_ARGUMENT', `${name} must be true or false, got ${value}`)
}
