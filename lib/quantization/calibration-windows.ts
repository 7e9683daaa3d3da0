/** Cuts calibration text into the windows that a model reads. */
import type { ModelSource } from '../checkpoint/model-source.js'
import { PyramidionError } from '../errors.js'

/** Tokens the model reads at once, as evaluation does by default. */
const WINDOW = 512

/**
 * Windows of token ids, each with the beginning-of-text token in front where the model wants one: at most `tokens` tokens, but
 * one window, spread evenly over the text when it is longer. Throws EMPTY.
 */
export async function calibrationWindows(source: ModelSource, texts: string[], tokens: number): Promise<Int32Array[]> {
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
  const most = Math.max(1, Math.floor(tokens / length))
  if (windows.length <= most) return windows
  return Array.from({ length: most }, (_, i) => windows[Math.floor((i * windows.length) / most)])
}
