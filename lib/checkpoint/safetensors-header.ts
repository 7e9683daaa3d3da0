/**
 * The header of a safetensors file: 8 bytes of little-endian length, a JSON object `name -> { dtype, shape, data_offsets }`
 * with an optional `__metadata__` of strings, then the data, one tensor after the other without gaps. The checks are those
 * of the reference implementation (github.com/huggingface/safetensors), which refuses gaps, overlaps and duplicate names.
 */
import { PyramidionError } from '../errors.js'
import type { BinaryFile } from './binary-file.js'
import { Fields, isObject } from './fields.js'
import { duplicateKey, parseJsonObject } from './json-file.js'
import type { TensorFormat, TensorInfo } from './model-source.js'
import { tensorBytes } from './tensor-format.js'

/** The reference implementation's limit on the JSON text. */
const maximumHeaderBytes = 100_000_000

/** Formats by the dtype name of the file; others (8-bit and 4-bit floats, complex) are not read. */
export const safetensorsFormats: Readonly<Record<string, TensorFormat>> = {
  F64: 'f64',
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  U8: 'u8',
  I8: 'i8',
  U16: 'u16',
  I16: 'i16',
  U32: 'u32',
  I32: 'i32',
  U64: 'u64',
  I64: 'i64',
  BOOL: 'bool',
}

/** A tensor and the position of its first byte in its file. */
export interface LocatedTensor extends TensorInfo {
  position: number
}

export interface SafetensorsHeader {
  tensors: LocatedTensor[]
  metadata: Map<string, string>
  /** The JSON text as stored: part of a model's fingerprint. */
  text: string
}

export async function readSafetensorsHeader(file: BinaryFile): Promise<SafetensorsHeader> {
  const { path, size } = file
  if (size < 8) throw invalid(path, `is truncated: ${size} bytes cannot hold a safetensors header`)
  const prefix = await file.read(0, 8)
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true))
  if (length > maximumHeaderBytes) throw invalid(path, `header of ${length} bytes is larger than ${maximumHeaderBytes}`)
  if (length < 2 || 8 + length > size) throw invalid(path, `header of ${length} bytes does not fit a file of ${size}`)

  const bytes = await file.read(8, length)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw new PyramidionError('INVALID_FILE', `${path}: header is not UTF-8 text`, { cause: error })
  }
  const header = parseJsonObject(text, `${path}: header`)
  const duplicate = duplicateKey(text)
  if (duplicate !== undefined) throw invalid(path, `header names "${duplicate}" twice`)

  const tensors: LocatedTensor[] = []
  for (const [name, entry] of Object.entries(header))
    if (name !== '__metadata__') tensors.push(readEntry(name, entry, path, 8 + length))
  checkLayout(tensors, 8 + length, size, path)
  return { tensors, metadata: readMetadata(header.__metadata__, path), text }
}

function readEntry(name: string, entry: unknown, path: string, dataStart: number): LocatedTensor {
  if (!isObject(entry)) throw invalid(path, `tensor ${name} must be a JSON object`)
  const fields = new Fields(entry, `${path}: tensor ${name}`)
  const dtype = fields.string('dtype')
  const format = Object.hasOwn(safetensorsFormats, dtype) ? safetensorsFormats[dtype] : undefined
  if (!format)
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${path}: tensor ${name} has dtype ${dtype}; supported are ${Object.keys(safetensorsFormats).join(', ')}`,
    )
  const shape = wholeNumbers(fields, 'shape')
  const offsets = wholeNumbers(fields, 'data_offsets')
  const bytes = tensorBytes(format, shape)
  if (bytes === undefined) throw invalid(path, `tensor ${name} of shape [${shape}] is too large`)
  if (offsets.length !== 2 || offsets[1] - offsets[0] !== bytes)
    throw invalid(path, `tensor ${name} of shape [${shape}] and dtype ${dtype} takes ${bytes} bytes, not [${offsets}]`)
  return { name, format, shape, bytes, position: dataStart + offsets[0] }
}

function wholeNumbers(fields: Fields, name: string): number[] {
  const values = fields.array(name)
  if (values.length > 16 || !values.every(value => Number.isSafeInteger(value) && (value as number) >= 0))
    fields.fail(name, 'at most 16 whole numbers that are not negative')
  return [...values] as number[]
}

/** Every byte of the data belongs to exactly one tensor. */
function checkLayout(tensors: LocatedTensor[], dataStart: number, size: number, path: string): void {
  let end = dataStart
  for (const tensor of [...tensors].sort((a, b) => a.position - b.position || a.bytes - b.bytes)) {
    if (tensor.position !== end) throw invalid(path, `tensor ${tensor.name} overlaps another or leaves a gap before it`)
    end += tensor.bytes
  }
  if (end !== size)
    throw invalid(path, `is truncated or has bytes left over: tensors end at ${end}, the file at ${size}`)
}

function readMetadata(value: unknown, path: string): Map<string, string> {
  if (value === undefined) return new Map()
  if (!isObject(value) || !Object.values(value).every(text => typeof text === 'string'))
    throw invalid(path, 'header entry __metadata__ must be an object of strings')
  return new Map(Object.entries(value as Record<string, string>))
}

function invalid(path: string, message: string): PyramidionError {
  return new PyramidionError('INVALID_FILE', `${path}: ${message}`)
}
