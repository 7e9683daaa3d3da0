/**
 * The form that PVQ codes have in memory while a layer runs. All forms stand for the same weights; with int8 activations they give,
 * on the processor, the same products bit for bit. A property of the running layer, not of its weights.
 */
import { describe } from '../checkpoint/fields.js'
import { PyramidionError } from '../errors.js'
import type { MemoryLayout } from '../native.js'

/**
 * - `compact`: the least memory: the codes as stored, decoded inside the product, or with int8 activations a form that is at most a
 *   tenth of a bit a weight larger and decoded faster, where the code has one;
 * - `split`: such a form for speed, at most 0.47 bits a weight larger than the codes; for the integers with groups of 8 or 16, at
 *   most 13 levels and few large pulses, others are compact;
 * - `expanded`: the pulses themselves, four or five bits each;
 * - `auto`: with int8 activations, whose products are done in integers, the fastest by a measurement on this machine
 *   (layout-choice.ts); `compact` otherwise.
 *
 * On a GPU `compact` and `split` are the codes as stored where a kernel decodes them; `expanded` is a byte a pulse, but for codes of
 * which a shorter form is as fast, and so is `auto`, of a model if that takes at most half of the device's memory (docs/gpu.md). Sums
 * come in other orders there, so products agree to single precision, of many tokens to that of halves.
 */
export type Layout = MemoryLayout | 'auto'

const layouts: readonly Layout[] = ['compact', 'split', 'expanded', 'auto']

/** Throws INVALID_ARGUMENT unless `layout` is one of {@link Layout}. */
export function checkLayout(layout: Layout): void {
  if (layouts.includes(layout)) return
  throw new PyramidionError(
    'INVALID_ARGUMENT',
    `layout must be compact, split, expanded or auto, got ${describe(layout)}`,
  )
}
