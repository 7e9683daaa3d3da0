/**
 * A Tokenizer over the contents of tokenizer.json: normalizer, pre-tokenizer and BPE model are those of
 * @huggingface/tokenizers; added tokens, the beginning-of-text token and decoding are handled here, where they are explicit.
 */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { PyramidionError } from '../errors.js'
import type { ChatTemplate } from './chat-template.js'
import { describe, type UntrustedObject } from './fields.js'
import { type AddedToken, metaspace, TokenPieces } from './token-pieces.js'
import type { ChatMessage, DecodeOptions, EncodeOptions, StreamDecoder, Tokenizer } from './tokenizer.js'

/** What tokenizer files say, already validated. */
export interface TokenizerParts {
  /** The contents of tokenizer.json. */
  json: UntrustedObject
  vocabulary: (string | undefined)[]
  added: AddedToken[]
  bosTokenId?: number
  eosTokenIds: number[]
  addsBos: boolean
  chatTemplate?: ChatTemplate
  /** The file, for messages. */
  where: string
}

/** The steps of @huggingface/tokenizers used here. */
interface Pipeline {
  normalizer: ((text: string) => string) | null
  pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null
  model: ((words: string[]) => string[]) & {
    tokens_to_ids: Map<string, number>
    unk_token_id?: number
    /** Unknown tokens that follow each other become one. */
    fuse_unk: boolean
  }
}

/** Limits of the memory that known words take. */
const maximumWords = 50_000
const maximumWordLength = 64

export class TextTokenizer implements Tokenizer {
  readonly vocabularySize: number
  readonly bosTokenId?: number
  readonly eosTokenIds: number[]
  readonly addsBos: boolean
  private readonly pipeline: Pipeline
  private readonly pieces: TokenPieces
  private readonly allAdded: AddedTokenMatcher
  private readonly ordinaryAdded: AddedTokenMatcher
  /** Words may be cut before a U+2581 that follows another character, because no token holds such a pair. */
  private readonly splitsAtMetaspace: boolean
  private readonly words = new Map<string, readonly number[]>()
  private readonly template?: ChatTemplate

  constructor(parts: TokenizerParts) {
    try {
      this.pipeline = new HuggingFaceTokenizer(parts.json, {}) as unknown as Pipeline
    } catch (error) {
      throw new PyramidionError('UNSUPPORTED_FORMAT', `${parts.where}: ${(error as Error).message}`, { cause: error })
    }
    this.pieces = new TokenPieces(parts.vocabulary, parts.added, parts.json.decoder, parts.where)
    this.vocabularySize = parts.vocabulary.length
    if (parts.bosTokenId !== undefined) this.bosTokenId = parts.bosTokenId
    this.eosTokenIds = parts.eosTokenIds
    this.addsBos = parts.addsBos
    this.allAdded = new AddedTokenMatcher(parts.added)
    this.ordinaryAdded = new AddedTokenMatcher(parts.added.filter(token => !token.special))
    this.splitsAtMetaspace = !parts.vocabulary.some(token => token !== undefined && /[^\u2581]\u2581/u.test(token))
    if (parts.chatTemplate) this.template = parts.chatTemplate
  }

  encode(text: string, { special = false, parseSpecial = true }: EncodeOptions = {}): Int32Array {
    if (typeof text !== 'string')
      throw new PyramidionError('INVALID_ARGUMENT', `text must be a string, got ${describe(text)}`)
    const ids: number[] = []
    if (special && this.addsBos && this.bosTokenId !== undefined) ids.push(this.bosTokenId)
    const sections = (parseSpecial ? this.allAdded : this.ordinaryAdded).split(text)
    sections.forEach((section, index) => {
      if (typeof section === 'number') ids.push(section)
      else this.encodeSection(section, index, ids)
    })
    return Int32Array.from(ids)
  }

  private encodeSection(section: string, index: number, ids: number[]): void {
    const { normalizer, pre_tokenizer, model } = this.pipeline
    const text = normalizer ? normalizer(section) : section
    if (text === '') return
    let words = pre_tokenizer ? pre_tokenizer(text, { section_index: index }) : [text]
    // SentencePiece models see the whole text as one word, which makes merging slow; smaller words give the same tokens.
    if (this.splitsAtMetaspace && text.length > 64)
      words = words.flatMap(word => (word.includes(metaspace) ? word.split(/(?<=[^\u2581])(?=\u2581)/u) : [word]))
    for (const word of words)
      for (const id of this.wordIds(word))
        if (!(model.fuse_unk && id === model.unk_token_id && ids.at(-1) === id)) ids.push(id)
  }

  /** The ids of one word, kept: most words of a text have been there before. */
  private wordIds(word: string): readonly number[] {
    const known = this.words.get(word)
    if (known) return known
    const { model } = this.pipeline
    const ids = model([word])
      .map(token => model.tokens_to_ids.get(token) ?? model.unk_token_id)
      .filter(id => id !== undefined)
    if (this.words.size >= maximumWords) this.words.clear()
    if (word.length <= maximumWordLength) this.words.set(word, ids)
    return ids
  }

  decode(ids: ArrayLike<number>, options?: DecodeOptions): string {
    const decoder = this.streamDecoder(options)
    const pieces: string[] = []
    for (let i = 0; i < ids.length; ++i) pieces.push(decoder.push(ids[i]))
    pieces.push(decoder.end())
    return pieces.join('')
  }

  streamDecoder({ skipSpecial = false }: DecodeOptions = {}): StreamDecoder {
    const { pieces } = this
    // TextDecoder holds back the first bytes of a character until the rest has come.
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
    let atStart = pieces.stripsFirstSpace
    return {
      push(id) {
        if (!Number.isInteger(id) || id < 0 || id >= pieces.size)
          throw new PyramidionError(
            'INVALID_ARGUMENT',
            `a token id must be a whole number from 0 to ${pieces.size - 1}, got ${describe(id)}`,
          )
        if (skipSpecial && pieces.isSpecial(id)) return ''
        let bytes = pieces.bytes(id)
        if (atStart && bytes.length > 0) {
          if (bytes[0] === 0x20) bytes = bytes.subarray(1)
          atStart = false
        }
        return utf8.decode(bytes, { stream: true })
      },
      end: () => utf8.decode(),
    }
  }

  get chatTemplate(): string | undefined {
    return this.template?.source
  }

  applyChatTemplate(messages: ChatMessage[], { addGenerationPrompt = false } = {}): string {
    if (!this.template) throw new PyramidionError('UNSUPPORTED_FORMAT', 'this model has no chat template')
    return this.template.apply(messages, addGenerationPrompt)
  }
}

/** Finds added tokens in a text, the longest first where several start at the same place. */
class AddedTokenMatcher {
  private readonly ids: Map<string, number>
  private readonly pattern?: RegExp

  constructor(tokens: readonly AddedToken[]) {
    this.ids = new Map(tokens.map(token => [token.content, token.id]))
    const sources = tokens
      .filter(token => token.content !== '')
      .sort((a, b) => b.content.length - a.content.length)
      .map(({ content, lstrip, rstrip }) => {
        const literal = content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
        return `${lstrip ? '\\s*' : ''}${literal}${rstrip ? '\\s*' : ''}`
      })
    if (sources.length > 0) this.pattern = new RegExp(sources.join('|'), 'gu')
  }

  /** The text in order: ids of added tokens, and the strings between them. */
  split(text: string): (string | number)[] {
    if (!this.pattern) return text === '' ? [] : [text]
    const sections: (string | number)[] = []
    let end = 0
    for (const match of text.matchAll(this.pattern)) {
      if (match.index > end) sections.push(text.slice(end, match.index))
      sections.push((this.ids.get(match[0]) ?? this.ids.get(match[0].trim())) as number)
      end = match.index + match[0].length
    }
    if (end < text.length) sections.push(text.slice(end))
    return sections
  }
}
