/**
 * The form that a model's head has in memory: the matrix of hidden states to logits, which in small models is read for a good part of
 * a token's time. A property of the running model, not of its weights.
 */
import { describe } from '../checkpoint/fields.js'
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import type { Activations } from '../linear/activations.js'
import { native } from '../native.js'

/**
 * - `stored`: as the checkpoint has it;
 * - `int8`: values of plain formats rounded to int8 with a scale for 32 of them, 9 bits each; an embedding tied to the head is the
 *   same matrix. Heads that are quantized, and widths that are no multiple of 32, stay as stored;
 * - `auto`: `int8` with int8 activations, `stored` otherwise.
 */
export type HeadForm = 'stored' | 'int8' | 'auto'

const forms: readonly HeadForm[] = ['stored', 'int8', 'auto']

/** Values of a block that shares a scale. */
const BLOCK = 32

/** Throws INVALID_ARGUMENT unless `head` is one of {@link HeadForm}. */
export function checkHeadForm(head: HeadForm): void {
  if (forms.includes(head)) return
  throw new PyramidionError('INVALID_ARGUMENT', `head must be stored, int8 or auto, got ${describe(head)}`)
}

/** The weights of a head in the form that `head` comes to for a model with such activations. */
export async function headWeights(
  stored: StoredWeights,
  head: HeadForm,
  activations: Activations,
): Promise<StoredWeights> {
  const { weights } = stored
  const wanted = head === 'int8' || (head === 'auto' && activations === 'int8')
  const plain = 'data' in weights && weights.format !== 'q8_0'
  if (!wanted || !plain || weights.columns % BLOCK !== 0) return stored
  return { ...stored, weights: { ...weights, format: 'q8_0', data: await native.int8BlocksAsync(weights) } }
}
