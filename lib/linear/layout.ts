/**
 * The form that PVQ codes have in memory while a layer runs. All forms stand for the same weights; with int8 activations they give
 * the same products bit for bit. A property of the running layer, not of its weights.
 */
import { describe } from '../checkpoint/fields.js'
import { PyramidionError } from '../errors.js'
import type { MemoryLayout } from '../native.js'
import type { Activations } from './activations.js'

/**
 * - `compact`: the codes as stored, decoded inside the product; the least memory;
 * - `split`: the same information in bit fields of their own, faster to decode and a little larger; for the integers with groups of 8
 *   or 16 and at most 31 pulses, others are compact;
 * - `expanded`: the pulses themselves, four or five bits each;
 * - `auto`: `expanded` with int8 activations, whose products are done in integers, `compact` otherwise.
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

/** What `layout` comes to for a layer with such activations. */
export function chooseLayout(layout: Layout, activations: Activations): MemoryLayout {
  if (layout !== 'auto') return layout
  return activations === 'int8' ? 'expanded' : 'compact'
}
