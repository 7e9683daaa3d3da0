/** Sequential reads of a GGUF header through a window of the file, each length checked before anything is allocated. */
import { PyramidionError } from '../errors.js'
import type { BinaryFile } from './binary-file.js'

const windowBytes = 2 ** 20
/** A header is mostly its vocabulary: the largest known take about 20 MB. */
const maximumHeaderBytes = 200_000_000

export class GgufReader {
  position = 0
  private window: Uint8Array = new Uint8Array(0)
  private view = new DataView(this.window.buffer)
  private windowStart = 0

  constructor(private readonly file: BinaryFile) {}

  get path(): string {
    return this.file.path
  }

  /** The next `length` bytes, in a buffer of their own. */
  async bytes(length: number): Promise<Uint8Array> {
    const start = await this.ensure(length)
    return this.window.slice(start, start + length)
  }

  async uint32(): Promise<number> {
    const start = await this.ensure(4)
    return this.view.getUint32(start, true)
  }

  async safeUint64(what: string): Promise<number> {
    const start = await this.ensure(8)
    const value = this.view.getBigUint64(start, true)
    if (value > Number.MAX_SAFE_INTEGER) throw this.invalid(`${what} is ${value}`)
    return Number(value)
  }

  /** A number of things of at least `bytesEach` bytes, which must fit what is left of the file. */
  async count(what: string, bytesEach: number): Promise<number> {
    const count = await this.safeUint64(`the number of ${what}`)
    if (count * bytesEach > this.file.size - this.position)
      throw this.invalid(`the number of ${what} is ${count}, more than the file can hold`)
    return count
  }

  async string(): Promise<string> {
    const length = await this.safeUint64('the length of a string')
    const start = await this.ensure(length)
    return utf8.decode(this.window.subarray(start, start + length))
  }

  /** A vocabulary is a hundred thousand strings: one is waited for only where the window ends. */
  async strings(count: number): Promise<string[]> {
    const strings: string[] = []
    while (strings.length < count) strings.push(this.stringInWindow() ?? (await this.string()))
    return strings
  }

  invalid(message: string): PyramidionError {
    return new PyramidionError('INVALID_FILE', `${this.file.path}: ${message}`)
  }

  /** The next string, if the window holds all of it. */
  private stringInWindow(): string | undefined {
    const start = this.position - this.windowStart + 8
    if (start > this.window.length) return undefined
    const length = Number(this.view.getBigUint64(start - 8, true))
    if (length > this.window.length - start) return undefined
    this.position += 8 + length
    return utf8.decode(this.window.subarray(start, start + length))
  }

  /** Makes the next `length` bytes available, moves past them, and returns where in the window they start. */
  private async ensure(length: number): Promise<number> {
    const { position } = this
    const end = position + length
    if (end > this.file.size)
      throw this.invalid(`is truncated or damaged: its header needs ${end} bytes, the file has ${this.file.size}`)
    if (end > maximumHeaderBytes) throw this.invalid(`header is larger than ${maximumHeaderBytes} bytes`)
    if (end > this.windowStart + this.window.length) {
      this.window = await this.file.read(position, Math.min(Math.max(length, windowBytes), this.file.size - position))
      this.view = new DataView(this.window.buffer)
      this.windowStart = position
    }
    this.position = end
    return position - this.windowStart
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
