/** Writes a safetensors file: tensors by falling size of their values, then by name, so that each is aligned without gaps. */
import { PyramidionError } from '../errors.js'
import { writeFileDurably } from './durable-write.js'
import type { TensorInfo } from './model-source.js'
import { safetensorsFormats } from './safetensors-header.js'
import { blockOf, tensorBytes } from './tensor-format.js'

/** A tensor and where its bytes come from when their turn is there. */
export interface TensorToWrite extends TensorInfo {
  data: () => Uint8Array | Promise<Uint8Array>
}

const dtypes = new Map(Object.entries(safetensorsFormats).map(([dtype, format]) => [format, dtype]))

/** The same tensors and metadata give the same bytes, whatever their order. Returns the file's size in bytes. */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: ReadonlyMap<string, string>,
): Promise<number> {
  return writeFileDurably(path, fileChunks(ordered(tensors), metadata))
}

/** The size of such a file, in bytes. */
export function safetensorsBytes(tensors: readonly TensorInfo[], metadata: ReadonlyMap<string, string>): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, header(ordered(tensors), metadata).length)
}

function ordered<T extends TensorInfo>(tensors: readonly T[]): T[] {
  return [...tensors].sort((a, b) => blockOf(b.format).bytes - blockOf(a.format).bytes || compareNames(a.name, b.name))
}

/** Code unit order: the same in every locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

async function* fileChunks(
  tensors: readonly TensorToWrite[],
  metadata: ReadonlyMap<string, string>,
): AsyncGenerator<Uint8Array> {
  yield header(tensors, metadata)
  for (const tensor of tensors) {
    const bytes = await tensor.data()
    if (bytes.length !== tensor.bytes)
      throw new PyramidionError(
        'INVALID_SHAPE',
        `tensor ${tensor.name} must have ${tensor.bytes} bytes, got ${bytes.length}`,
      )
    yield bytes
  }
}

function header(tensors: readonly TensorInfo[], metadata: ReadonlyMap<string, string>): Uint8Array {
  const sorted = [...metadata].sort(([a], [b]) => compareNames(a, b))
  const entries: [string, unknown][] = [['__metadata__', Object.fromEntries(sorted)]]
  let end = 0
  for (const { name, format, shape, bytes } of tensors) {
    const dtype = dtypes.get(format)
    if (!dtype || bytes !== tensorBytes(format, shape))
      throw new PyramidionError(
        'INVALID_SHAPE',
        `tensor ${name}: ${bytes} bytes of ${format} cannot have shape [${shape}]`,
      )
    entries.push([name, { dtype, shape, data_offsets: [end, end + bytes] }])
    end += bytes
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)))
  // Padded with spaces so that the data start at a multiple of 8.
  const length = Math.ceil(text.length / 8) * 8
  const result = new Uint8Array(8 + length).fill(0x20)
  new DataView(result.buffer).setBigUint64(0, BigInt(length), true)
  result.set(text, 8)
  return result
}
