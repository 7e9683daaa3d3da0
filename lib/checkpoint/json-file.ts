/** Reads JSON and other small text files of a model folder, with limits, and JSON text with duplicate keys refused. */
import { open } from 'node:fs/promises'
import { PyramidionError } from '../errors.js'
import { fileError } from './binary-file.js'
import { isObject, type UntrustedObject } from './fields.js'

/** Far above any real configuration or tokenizer (the largest known is about 35 MB). */
const maximumTextBytes = 256 * 2 ** 20

/** The text of a file; undefined when there is no such file and it is `optional`. */
export async function readText(path: string, optional: true): Promise<string | undefined>
export async function readText(path: string): Promise<string>
export async function readText(path: string, optional = false): Promise<string | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      if (size > maximumTextBytes)
        throw new PyramidionError(
          'INVALID_FILE',
          `${path}: has ${size} bytes, more than the ${maximumTextBytes} allowed`,
        )
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    if (optional && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileError(error, path)
  }
}

/** Far deeper than any file here; code that walks JSON recursively, the runtime's own included, then cannot overflow. */
const maximumNesting = 100

/** Parses the text of a JSON object. `where` starts the error message. */
export function parseJsonObject(text: string, where: string): UntrustedObject {
  if (nesting(text) > maximumNesting)
    throw new PyramidionError('INVALID_FILE', `${where}: JSON is nested more than ${maximumNesting} deep`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new PyramidionError('INVALID_FILE', `${where}: is not valid JSON: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (!isObject(value)) throw new PyramidionError('INVALID_FILE', `${where}: must hold a JSON object`)
  return value
}

export async function readJsonObject(path: string): Promise<UntrustedObject> {
  return parseJsonObject(await readText(path), path)
}

/** How deep brackets are nested, quoted ones left out. */
function nesting(text: string): number {
  let depth = 0
  let deepest = 0
  for (let at = 0; at < text.length; ++at) {
    const character = text[at]
    if (character === '"') at = endOfString(text, at)
    else if (character === '{' || character === '[') deepest = Math.max(deepest, ++depth)
    else if (character === '}' || character === ']') --depth
  }
  return deepest
}

/** Position of the quote that ends the string starting at `at`, or the text's end when there is none. */
function endOfString(text: string, at: number): number {
  for (++at; at < text.length && text[at] !== '"'; ++at) if (text[at] === '\\') ++at
  return at
}

/**
 * The first key that occurs twice in one object of `text`, which must be valid JSON. JSON.parse keeps the last of
 * several equal keys silently, so two readers could see different files.
 */
export function duplicateKey(text: string): string | undefined {
  // One entry for each open bracket: the keys seen so far of an object, nothing for an array.
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; ++at) {
    const character = text[at]
    if (character === '{') open.push(new Set())
    else if (character === '[') open.push(undefined)
    else if (character === '}' || character === ']') open.pop()
    else if (character === '"') {
      const start = at
      at = endOfString(text, at)
      const keys = open.at(-1)
      if (!keys || !isFollowedByColon(text, at + 1)) continue
      const key = JSON.parse(text.slice(start, at + 1)) as string
      if (keys.has(key)) return key
      keys.add(key)
    }
  }
  return undefined
}

function isFollowedByColon(text: string, at: number): boolean {
  while (' \t\n\r'.includes(text[at] ?? ':')) ++at
  return text[at] === ':'
}
