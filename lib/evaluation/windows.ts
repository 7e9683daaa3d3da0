/**
 * How a text is cut up to be scored. By default as llama.cpp's perplexity tool does it, so that figures compare:
 * consecutive windows, and in each the tokens of the second half are predicted, which have enough text before them.
 */
import { PyramidionError } from '../errors.js'

export interface WindowOptions {
  /** Tokens a window, at least 4. Default 512. */
  window?: number
  /** Tokens from the start of a window to the next, at least 1. Default: the window. */
  stride?: number
  /** Only the first so many windows. Default: all that fit. */
  windows?: number
}

export interface WindowPlan {
  window: number
  stride: number
  windows: number
  /** Logits at positions first .. window - 2 of a window are scored against the token that follows. */
  first: number
  /** Tokens scored in a window. */
  scored: number
}

/** Throws INVALID_ARGUMENT for numbers out of range. */
export function checkWindowOptions({ window = 512, stride = window, windows }: WindowOptions): void {
  checkWhole('window', window, 4)
  checkWhole('stride', stride, 1)
  if (windows !== undefined) checkWhole('windows', windows, 1)
}

function checkWhole(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new PyramidionError('INVALID_ARGUMENT', `${name} must be a whole number of at least ${least}, got ${value}`)
  }
}

/** Throws INVALID_ARGUMENT when the text is shorter than one window or a window longer than `maximumPositions`. */
export function planWindows(tokens: number, maximumPositions: number, options: WindowOptions): WindowPlan {
  const { window = 512, stride = window, windows = Number.POSITIVE_INFINITY } = options
  if (window > maximumPositions) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `window must be at most ${maximumPositions}, the model's context, got ${window}`,
    )
  }
  if (tokens < window) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `text must have at least ${window} tokens, one window, got ${tokens} (a smaller window needs less)`,
    )
  }
  const first = Math.floor(window / 2)
  const fitting = Math.floor((tokens - window) / stride) + 1
  return { window, stride, windows: Math.min(windows, fitting), first, scored: window - 1 - first }
}

/** The tokens of one window; a `bos` takes the place of the first, as in llama.cpp. */
export function windowTokens(ids: Int32Array, plan: WindowPlan, index: number, bos: number | undefined): Int32Array {
  const tokens = ids.slice(index * plan.stride, index * plan.stride + plan.window)
  if (bos !== undefined) tokens[0] = bos
  return tokens
}
