// Builds GGUF files byte by byte: the opposite of the library's reader, for tests.

export type Pair = [key: string, type: GgufType, value: unknown]
export type GgufType =
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'uint32'
  | 'int32'
  | 'float32'
  | 'bool'
  | 'string'
  | 'uint64'
  | 'int64'
  | 'float64'
  | `${string}[]`

const typeNumbers: Record<string, number> = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  uint64: 10,
  int64: 11,
  float64: 12,
}

export interface TensorSpec {
  name: string
  /** Columns first, as in the file. */
  dimensions: number[]
  type: number
  data: Uint8Array
  /** In place of the next free position. */
  offset?: number
}

class Bytes {
  private readonly parts: Buffer[] = []
  length = 0

  add(part: Buffer): void {
    this.parts.push(part)
    this.length += part.length
  }

  uint32(value: number): void {
    const part = Buffer.alloc(4)
    part.writeUInt32LE(value)
    this.add(part)
  }

  uint64(value: number | bigint): void {
    const part = Buffer.alloc(8)
    part.writeBigUInt64LE(BigInt(value))
    this.add(part)
  }

  string(text: string): void {
    const part = Buffer.from(text)
    this.uint64(part.length)
    this.add(part)
  }

  scalar(type: string, value: unknown): void {
    if (type === 'string') {
      this.string(value as string)
      return
    }
    const part = Buffer.alloc(8)
    const number = Number(value)
    const sizes: Record<string, () => number> = {
      uint8: () => part.writeUInt8(number),
      int8: () => part.writeInt8(number),
      bool: () => part.writeUInt8(number),
      uint16: () => part.writeUInt16LE(number),
      int16: () => part.writeInt16LE(number),
      uint32: () => part.writeUInt32LE(number),
      int32: () => part.writeInt32LE(number),
      float32: () => part.writeFloatLE(number),
      uint64: () => part.writeBigUInt64LE(BigInt(value as bigint)),
      int64: () => part.writeBigInt64LE(BigInt(value as bigint)),
      float64: () => part.writeDoubleLE(number),
    }
    this.add(part.subarray(0, sizes[type]()))
  }

  padTo(alignment: number): void {
    this.add(Buffer.alloc((alignment - (this.length % alignment)) % alignment))
  }

  concat(): Buffer {
    return Buffer.concat(this.parts)
  }
}

/** The whole file, and where in it the header ends. */
export function ggufBytes(pairs: Pair[], tensors: TensorSpec[], version = 3): { bytes: Buffer; headerEnd: number } {
  const alignment = 32
  const file = new Bytes()
  file.add(Buffer.from('GGUF'))
  file.uint32(version)
  file.uint64(tensors.length)
  file.uint64(pairs.length)
  for (const [key, type, value] of pairs) {
    file.string(key)
    if (type.endsWith('[]')) {
      const element = type.slice(0, -2)
      file.uint32(9)
      file.uint32(typeNumbers[element])
      file.uint64((value as unknown[]).length)
      for (const item of value as unknown[]) file.scalar(element, item)
    } else {
      file.uint32(typeNumbers[type])
      file.scalar(type, value)
    }
  }
  let next = 0
  for (const { name, dimensions, type, data, offset } of tensors) {
    file.string(name)
    file.uint32(dimensions.length)
    for (const dimension of dimensions) file.uint64(dimension)
    file.uint32(type)
    file.uint64(offset ?? next)
    next += Math.ceil(data.length / alignment) * alignment
  }
  const headerEnd = file.length
  file.padTo(alignment)
  for (const { data } of tensors) {
    file.add(Buffer.from(data))
    file.padTo(alignment)
  }
  return { bytes: file.concat(), headerEnd }
}
