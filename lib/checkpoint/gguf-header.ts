/**
 * The header of a GGUF file (version 2 or 3, little-endian): magic, counts, key-value pairs, tensor descriptions, and the
 * position where tensor data start. Read by our own code rather than by @huggingface/gguf, because that takes bytes beyond
 * the end of a truncated file from a stale buffer and accepts the file. Every count and length is checked against what is left of the file.
 */
import { createHash } from 'node:crypto'
import { PyramidionError } from '../errors.js'
import type { BinaryFile } from './binary-file.js'
import { GgufReader } from './gguf-reader.js'

/** A number array is a typed array; 64-bit values are bigint only where they are no safe integers. */
export type GgufValue = number | bigint | boolean | string | string[] | NumericArray
export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

export interface GgufTensor {
  name: string
  /** In the file's order: columns first. */
  dimensions: number[]
  /** Number of the ggml type. */
  type: number
  /** From the start of the data. */
  offset: number
}

export interface GgufHeader {
  metadata: Map<string, GgufValue>
  tensors: GgufTensor[]
  /** Position in the file of the first tensor byte. */
  dataStart: number
  alignment: number
  /** sha256 of the header's bytes, hexadecimal. */
  hash: string
}

const valueTypes = { uint8: 0, bool: 7, string: 8, array: 9, float64: 12 }
/** Bytes of a scalar of each value type; strings and arrays have a length of their own. */
const scalarBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const maximumDimensions = 4

export async function readGgufHeader(file: BinaryFile): Promise<GgufHeader> {
  const reader = new GgufReader(file)
  const magic = await reader.uint32()
  if (magic !== 0x46554747) throw reader.invalid('is not a GGUF file: it does not start with "GGUF"')
  const version = await reader.uint32()
  if (version !== 2 && version !== 3)
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${file.path}: GGUF version ${version}${version > 0xffff ? ' (big-endian)' : ''}; supported are 2 and 3, little-endian`,
    )
  const tensorCount = await reader.count('tensors', 24)
  const pairCount = await reader.count('key-value pairs', 13)

  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < pairCount; ++i) {
    const key = await reader.string()
    if (metadata.has(key)) throw reader.invalid(`key ${key} is there twice`)
    metadata.set(key, await readValue(reader, key))
  }
  const tensors: GgufTensor[] = []
  for (let i = 0; i < tensorCount; ++i) tensors.push(await readTensor(reader))

  const alignment = metadata.get('general.alignment') ?? 32
  if (
    typeof alignment !== 'number' ||
    !(alignment >= 1 && alignment <= 2 ** 16 && Number.isInteger(Math.log2(alignment)))
  )
    throw reader.invalid('general.alignment must be a power of two from 1 to 65536')
  const end = reader.position
  const hash = createHash('sha256')
  for (let at = 0; at < end; at += 2 ** 20) hash.update(await file.read(at, Math.min(2 ** 20, end - at)))
  return { metadata, tensors, dataStart: Math.ceil(end / alignment) * alignment, alignment, hash: hash.digest('hex') }
}

async function readTensor(reader: GgufReader): Promise<GgufTensor> {
  const name = await reader.string()
  const rank = await reader.uint32()
  if (rank < 1 || rank > maximumDimensions)
    throw reader.invalid(`tensor ${name} has ${rank} dimensions, 1 to 4 are possible`)
  const dimensions: number[] = []
  for (let i = 0; i < rank; ++i) dimensions.push(await reader.safeUint64(`a dimension of tensor ${name}`))
  const type = await reader.uint32()
  return { name, dimensions, type, offset: await reader.safeUint64(`the offset of tensor ${name}`) }
}

async function readValue(reader: GgufReader, key: string): Promise<GgufValue> {
  const type = await reader.uint32()
  if (type === valueTypes.string) return reader.string()
  if (type !== valueTypes.array) return readScalar(reader, type, key)
  const elementType = await reader.uint32()
  if (elementType === valueTypes.array)
    throw new PyramidionError('UNSUPPORTED_FORMAT', `${reader.path}: key ${key} is an array of arrays`)
  if (elementType !== valueTypes.string) {
    const count = await reader.count(`elements of ${key}`, elementBytes(reader, elementType, key))
    return numericArray(elementType, await reader.bytes(count * scalarBytes[elementType]))
  }
  return reader.strings(await reader.count(`elements of ${key}`, 8))
}

function elementBytes(reader: GgufReader, type: number, key: string): number {
  const bytes = scalarBytes[type]
  if (!bytes) throw reader.invalid(`key ${key} has value type ${type}, which does not exist`)
  return bytes
}

async function readScalar(reader: GgufReader, type: number, key: string): Promise<GgufValue> {
  const value = numericArray(type, await reader.bytes(elementBytes(reader, type, key)))[0]
  if (type === valueTypes.bool) return value !== 0
  if (typeof value === 'bigint' && value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER)
    return Number(value)
  return value
}

/** Views `bytes`, a buffer of its own, as values of a scalar type; booleans stay bytes. */
function numericArray(type: number, { buffer }: Uint8Array): NumericArray {
  const constructors = [
    Uint8Array,
    Int8Array,
    Uint16Array,
    Int16Array,
    Uint32Array,
    Int32Array,
    Float32Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    BigUint64Array,
    BigInt64Array,
    Float64Array,
  ]
  return new constructors[type](buffer as ArrayBuffer)
}
