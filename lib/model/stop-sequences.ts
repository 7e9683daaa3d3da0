/** Ends a stream of text at the first of some strings, holding back whatever may turn out to begin one. */
export class StopSequences {
  readonly #stops: string[]
  #held = ''
  #stopped = false

  constructor(stops: string[]) {
    this.#stops = stops
  }

  /** A stop string has come; nothing after it is text any more. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Takes the next piece of the stream and returns the text that is certain: no stop string, nor the beginning of one. */
  push(piece: string): string {
    const text = this.#held + piece
    const found = this.#stops.map(stop => text.indexOf(stop)).filter(position => position >= 0)
    if (found.length > 0) {
      this.#stopped = true
      this.#held = ''
      return text.slice(0, Math.min(...found))
    }
    const certain = text.length - Math.max(0, ...this.#stops.map(stop => overlap(text, stop)))
    this.#held = text.slice(certain)
    return text.slice(0, certain)
  }

  /** What is held back when the stream ends. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
