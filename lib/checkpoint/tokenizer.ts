/** Text to token ids and back, with the model's special tokens and chat template. */

export interface EncodeOptions {
  /** Put the beginning-of-text token in front where the model wants one ({@link Tokenizer.addsBos}). Default false. */
  special?: boolean
  /** Recognise special tokens (`<|im_start|>`) written in the text. Default true; false spells them out as text. */
  parseSpecial?: boolean
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  skipSpecial?: boolean
}

export interface ChatMessage {
  role: string
  content: string
}

/** Turns ids into text as they arrive, never emitting half a character. */
export interface StreamDecoder {
  /** The text that became certain with this id, possibly empty. */
  push(id: number): string
  /** What is left; an incomplete character becomes U+FFFD. */
  end(): string
}

export interface Tokenizer {
  /** Ids are 0 .. vocabularySize - 1; may be smaller than the model's padded vocabulary. */
  readonly vocabularySize: number
  readonly bosTokenId?: number
  readonly eosTokenIds: number[]
  /** The model expects the beginning-of-text token in front of every text. */
  readonly addsBos: boolean
  encode(text: string, options?: EncodeOptions): Int32Array
  /** Ids beyond the vocabulary are an INVALID_ARGUMENT. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string
  streamDecoder(options?: DecodeOptions): StreamDecoder
  /** Jinja source; absent when the model has none. */
  readonly chatTemplate?: string
  /** The prompt text of a conversation; encode it with `special: false`: templates write the special tokens. */
  applyChatTemplate(messages: ChatMessage[], options?: { addGenerationPrompt?: boolean }): string
}
