/** A GGUF file as a ModelSource: Hugging Face names and shapes, rotary rows in half-split order, formats as stored. */
import { createHash } from 'node:crypto'
import { PyramidionError } from '../errors.js'
import { BinaryFile } from './binary-file.js'
import { ggufConfig } from './gguf-config.js'
import { type GgufHeader, type GgufTensor, readGgufHeader } from './gguf-header.js'
import { huggingFaceName } from './gguf-names.js'
import { ggufTokenizerFiles } from './gguf-tokenizer.js'
import { huggingFaceConfig } from './huggingface-config.js'
import type { ModelConfig } from './model-config.js'
import type { ModelSource, TensorFormat, TensorInfo } from './model-source.js'
import type { LocatedTensor } from './safetensors-header.js'
import { tensorBytes } from './tensor-format.js'
import type { Tokenizer } from './tokenizer.js'
import { openTokenizer } from './tokenizer-files.js'

/** ggml's type numbers; those without a format here are named so that a message can name them. */
const typeNames: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  30: 'BF16',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
}
const readableTypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q4_K', 'Q6_K']

/** Precomputed rotary frequency divisors, which belong to the configuration. */
const ropeFactorsName = 'rope_freqs.weight'

export class GgufSource implements ModelSource {
  readonly kind = 'gguf'
  readonly quantized: ReadonlyMap<string, never> = new Map<string, never>()
  readonly quantizationConfig = {}
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly fingerprint: string
  readonly bytes: number
  /** Whether the converter changed the order of rotary rows. */
  private readonly interleaved: boolean

  private constructor(
    readonly path: string,
    readonly config: ModelConfig,
    private readonly file: BinaryFile,
    header: GgufHeader,
    private readonly located: ReadonlyMap<string, LocatedTensor>,
  ) {
    this.tensors = withoutPositions(located)
    this.bytes = file.size
    this.interleaved = header.metadata.get('general.architecture') === 'llama'
    this.fingerprint = createHash('sha256')
      .update(JSON.stringify([file.size, file.modified, header.hash]))
      .digest('hex')
  }

  static async open(path: string): Promise<GgufSource> {
    const file = await BinaryFile.open(path)
    try {
      const header = await readGgufHeader(file)
      const located = locateTensors(header, file)
      const ropeFactors = await readRopeFactors(located, file)
      located.delete(ropeFactorsName)
      const findings = { tensors: withoutPositions(located), ...(ropeFactors ? { ropeFactors } : {}) }
      return new GgufSource(path, ggufConfig(header, findings, path), file, header, located)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const tensor = this.located.get(name)
    if (!tensor) throw new PyramidionError('MISSING_TENSOR', `${this.path}: has no tensor ${name}`)
    const bytes = await this.file.read(tensor.position, tensor.bytes, signal)
    const heads = this.interleavedHeads(name)
    return heads > 0 ? toHalfSplit(bytes, tensor.shape[0], heads, this.config.headDimension, name) : bytes
  }

  /** Heads of a rotary projection whose rows the converter interleaved; 0 for all other tensors. */
  private interleavedHeads(name: string): number {
    if (!this.interleaved) return 0
    if (/\.q_proj\.(weight|bias)$/.test(name)) return this.config.heads
    return /\.k_proj\.(weight|bias)$/.test(name) ? this.config.keyValueHeads : 0
  }

  async tokenizer(): Promise<Tokenizer> {
    return openTokenizer(await this.files(), this.path, this.config)
  }

  /** Reads the header again: its strings, kept, would be 40 MB of small objects for every garbage collection to visit. */
  async files(): Promise<Map<string, string>> {
    const { metadata } = await readGgufHeader(this.file)
    const config = `${JSON.stringify(huggingFaceConfig(this.config), null, 2)}\n`
    return new Map([['config.json', config], ...ggufTokenizerFiles(metadata, this.path)])
  }

  close(): Promise<void> {
    return this.file.close()
  }
}

function withoutPositions(located: ReadonlyMap<string, LocatedTensor>): Map<string, TensorInfo> {
  return new Map([...located].map(([key, { name, format, shape, bytes }]) => [key, { name, format, shape, bytes }]))
}

/** Tensors by Hugging Face name, each known to lie inside the file and apart from the others. */
function locateTensors(header: GgufHeader, file: BinaryFile): Map<string, LocatedTensor> {
  const located = new Map<string, LocatedTensor>()
  for (const tensor of header.tensors) {
    const name = tensor.name === ropeFactorsName ? tensor.name : huggingFaceName(tensor.name)
    if (name === undefined)
      throw new PyramidionError('UNSUPPORTED_ARCHITECTURE', `${file.path}: tensor ${tensor.name} is not known`)
    if (located.has(name)) throw invalid(file, tensor, 'is there twice')
    located.set(name, locate(tensor, name, header, file))
  }
  let end = header.dataStart
  for (const tensor of [...located.values()].sort((a, b) => a.position - b.position)) {
    if (tensor.position < end)
      throw new PyramidionError('INVALID_FILE', `${file.path}: ${tensor.name} overlaps another tensor`)
    end = tensor.position + tensor.bytes
  }
  return located
}

function locate(tensor: GgufTensor, name: string, header: GgufHeader, file: BinaryFile): LocatedTensor {
  const type = typeNames[tensor.type] ?? `number ${tensor.type}`
  if (!readableTypes.includes(type))
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${file.path}: tensor ${tensor.name} has type ${type}; supported are ${readableTypes.join(', ')}`,
    )
  const format = type.toLowerCase() as TensorFormat
  const shape = [...tensor.dimensions].reverse()
  if (shape.some(dimension => dimension === 0)) throw invalid(file, tensor, 'is empty')
  const bytes = tensorBytes(format, shape)
  if (bytes === undefined) throw invalid(file, tensor, `of shape [${shape}] cannot be stored as ${type}`)
  if (tensor.offset % header.alignment !== 0)
    throw invalid(file, tensor, `starts at ${tensor.offset}, which is not aligned`)
  const position = header.dataStart + tensor.offset
  if (!(position + bytes <= file.size))
    throw invalid(file, tensor, `ends at byte ${position + bytes}, the file at ${file.size}: it is truncated`)
  return { name, format, shape, bytes, position }
}

async function readRopeFactors(
  tensors: ReadonlyMap<string, LocatedTensor>,
  file: BinaryFile,
): Promise<number[] | undefined> {
  const tensor = tensors.get(ropeFactorsName)
  if (!tensor) return undefined
  if (tensor.format !== 'f32' || tensor.shape.length !== 1 || tensor.shape[0] > 2 ** 13)
    throw new PyramidionError('INVALID_FILE', `${file.path}: tensor ${ropeFactorsName} must be a short vector of F32`)
  const factors = [...new Float32Array((await file.read(tensor.position, tensor.bytes)).buffer as ArrayBuffer)]
  if (!factors.every(factor => factor > 0 && Number.isFinite(factor)))
    throw new PyramidionError('INVALID_FILE', `${file.path}: tensor ${ropeFactorsName} must hold positive numbers`)
  return factors
}

/**
 * Undoes the row order of llama.cpp's converter: in each head, rows 2i and 2i + 1 of the file are rows i and i + D/2 of the
 * Hugging Face layout. Rows are whole numbers of bytes in every format.
 */
function toHalfSplit(bytes: Uint8Array, rows: number, heads: number, headDimension: number, name: string): Uint8Array {
  if (rows !== heads * headDimension)
    throw new PyramidionError(
      'INVALID_SHAPE',
      `${name} has ${rows} rows, ${heads} heads of ${headDimension} are expected`,
    )
  const rowBytes = bytes.length / rows
  const result = new Uint8Array(bytes.length)
  for (let row = 0; row < rows; ++row) {
    const inHead = row % headDimension
    const to = row - inHead + (inHead >> 1) + (inHead % 2) * (headDimension / 2)
    result.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes)
  }
  return result
}

function invalid(file: BinaryFile, tensor: GgufTensor, what: string): PyramidionError {
  return new PyramidionError('INVALID_FILE', `${file.path}: tensor ${tensor.name} ${what}`)
}
