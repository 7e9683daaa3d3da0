/**
 * The bytes each token id stands for, by the decoder of tokenizer.json. Concatenated they are the UTF-8 text, so decoding
 * whole texts and decoding a stream is one operation.
 */
import { PyramidionError } from '../errors.js'
import { isObject, type UntrustedObject } from './fields.js'

/** U+2581, which SentencePiece writes for a space. */
export const metaspace = '\u2581'

export interface AddedToken {
  id: number
  content: string
  special: boolean
  /** White space before (after) the token in a text belongs to it. */
  lstrip: boolean
  rstrip: boolean
}

export class TokenPieces {
  private readonly pieces: (Uint8Array | undefined)[]
  private readonly added: Map<number, AddedToken>
  private readonly kind: 'bytes' | 'metaspace'
  /** The first space of a text is not part of it: the encoder put it there. */
  readonly stripsFirstSpace: boolean

  /** `vocabulary[id]` is a token's text, with holes where there is none. */
  constructor(
    private readonly vocabulary: readonly (string | undefined)[],
    added: readonly AddedToken[],
    decoder: unknown,
    where: string,
  ) {
    this.pieces = new Array(vocabulary.length)
    this.added = new Map(added.map(token => [token.id, token]))
    const steps = decoderSteps(decoder)
    const types = steps.map(step => step.type)
    if (types.includes('ByteLevel')) this.kind = 'bytes'
    else if (types.includes('Metaspace') || types.includes('ByteFallback')) this.kind = 'metaspace'
    else
      throw new PyramidionError(
        'UNSUPPORTED_FORMAT',
        `${where}: decoder is ${types.join(', ') || 'missing'}; supported are ByteLevel, Metaspace and ByteFallback`,
      )
    this.stripsFirstSpace = steps.some(
      step =>
        (step.type === 'Strip' && step.content === ' ' && Number(step.start) > 0) ||
        (step.type === 'Metaspace' && step.prepend_scheme !== 'never' && step.add_prefix_space !== false),
    )
  }

  get size(): number {
    return this.vocabulary.length
  }

  isSpecial(id: number): boolean {
    return this.added.get(id)?.special ?? false
  }

  /** Bytes of a token; none for a hole in the vocabulary. */
  bytes(id: number): Uint8Array {
    this.pieces[id] ??= this.makePiece(id)
    return this.pieces[id]
  }

  private makePiece(id: number): Uint8Array {
    const text = this.vocabulary[id] ?? ''
    if (this.added.has(id)) return encoder.encode(text)
    if (this.kind === 'bytes') return byteLevelBytes(text)
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)
    return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : encoder.encode(text.replaceAll(metaspace, ' '))
  }
}

const encoder = new TextEncoder()

function decoderSteps(decoder: unknown): UntrustedObject[] {
  if (!isObject(decoder)) return []
  return Array.isArray(decoder.decoders) ? decoder.decoders.filter(isObject) : [decoder]
}

/** GPT-2's printable stand-ins: visible Latin-1 characters are themselves, the other 68 bytes start at U+0100. */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; ++byte) {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    map.set(String.fromCharCode(visible ? byte : next++), byte)
  }
  return map
})()

function byteLevelBytes(text: string): Uint8Array {
  const bytes: number[] = []
  for (const character of text) {
    const byte = byteOfCharacter.get(character)
    if (byte === undefined) bytes.push(...encoder.encode(character))
    else bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
