/** Checks of what callers hand in as prompts. */
import type { ChatMessage } from '../checkpoint/tokenizer.js'
import { PyramidionError } from '../errors.js'

/** Token ids as a copy of their own. Throws INVALID_ARGUMENT, EMPTY. */
export function checkedIds(name: string, ids: ArrayLike<number>): Int32Array {
  if (ids === null || typeof ids !== 'object' || !Number.isInteger(ids.length)) {
    throw new PyramidionError('INVALID_ARGUMENT', `${name} must be an array of token ids, got ${typeof ids}`)
  }
  if (ids.length === 0) throw new PyramidionError('EMPTY', `${name} must hold at least one token`)
  return Int32Array.from(ids, id => {
    if (Number.isInteger(id) && id >= 0 && id < 2 ** 31) return id
    throw new PyramidionError('INVALID_ARGUMENT', `${name} must be token ids, whole numbers from 0, got ${id}`)
  })
}

/** Messages as plain data. Throws INVALID_ARGUMENT, EMPTY. */
export function checkedMessages(messages: ChatMessage[]): ChatMessage[] {
  if (!Array.isArray(messages)) {
    throw new PyramidionError('INVALID_ARGUMENT', `messages must be an array, got ${typeof messages}`)
  }
  if (messages.length === 0) throw new PyramidionError('EMPTY', 'messages must hold at least one message')
  return messages.map((message, i) => {
    const { role, content } = message ?? {}
    if (typeof role === 'string' && typeof content === 'string') return { role, content }
    throw new PyramidionError('INVALID_ARGUMENT', `messages[${i}] must have a role and a content, both strings`)
  })
}
