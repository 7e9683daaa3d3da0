/**
 * Typed, range-checked access to the fields of an untrusted object: a JSON file, a tensor's metadata entry, the key-value
 * pairs of a GGUF file. Every error names the file, the field, what it was and what it may be.
 */
import { PyramidionError } from '../errors.js'

export type UntrustedObject = Readonly<Record<string, unknown>>

/** An object, and neither null nor an array. */
export function isObject(value: unknown): value is UntrustedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value for an error message, cut to a readable length. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (ArrayBuffer.isView(value) || (Array.isArray(value) && value.length > 8)) return 'an array'
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? typeof value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

interface Range {
  minimum: number
  maximum: number
}

export class Fields {
  /** `where` starts every message: the file, and the part of it. */
  constructor(
    readonly values: UntrustedObject,
    readonly where: string,
  ) {}

  /** The value, or undefined when absent or null: writers use both for "not set". */
  get(name: string): unknown {
    return Object.hasOwn(this.values, name) ? (this.values[name] ?? undefined) : undefined
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  integer(name: string, { minimum, maximum }: Range, fallback?: number): number {
    const value = this.get(name) ?? fallback
    if (!Number.isSafeInteger(value) || (value as number) < minimum || (value as number) > maximum)
      this.fail(name, `a whole number from ${minimum} to ${maximum}`)
    return value as number
  }

  number(name: string, { minimum, maximum }: Range, fallback?: number): number {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'number' || !(value >= minimum && value <= maximum))
      this.fail(name, `a number from ${minimum} to ${maximum}`)
    return value as number
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'boolean') this.fail(name, 'true or false')
    return value as boolean
  }

  string(name: string, fallback?: string): string {
    const value = this.get(name) ?? fallback
    if (typeof value !== 'string') this.fail(name, 'a string')
    return value as string
  }

  array(name: string): readonly unknown[] {
    const value = this.get(name)
    if (!Array.isArray(value)) this.fail(name, 'an array')
    return value as unknown[]
  }

  object(name: string): Fields {
    const value = this.get(name)
    if (!isObject(value)) this.fail(name, 'an object')
    return new Fields(value as UntrustedObject, `${this.where}, ${name}`)
  }

  /** Token ids: absent, one, or several; each below `vocabularySize`. */
  tokenIds(name: string, vocabularySize: number): number[] {
    const value = this.get(name) ?? []
    const ids = Array.isArray(value) ? value : [value]
    if (!ids.every(id => Number.isSafeInteger(id) && id >= 0 && id < vocabularySize))
      this.fail(name, `token ids from 0 to ${vocabularySize - 1}`)
    return ids as number[]
  }

  fail(name: string, expected: string): never {
    throw new PyramidionError(
      'INVALID_FILE',
      `${this.where}: ${name} must be ${expected}, got ${describe(this.get(name))}`,
    )
  }
}
