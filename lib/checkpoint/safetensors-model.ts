/**
 * The weight files of a model folder as one set of tensors: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` lists. In a quantized folder the header metadata holds an entry for each weight.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { PyramidionError } from '../errors.js'
import { BinaryFile, fileError } from './binary-file.js'
import { Fields } from './fields.js'
import { parseJsonObject, readJsonObject } from './json-file.js'
import type { TensorInfo } from './model-source.js'
import { parseQuantizedMetadata, storedParts } from './quantized-layout.js'
import type { QuantizedTensorMetadata } from './quantized-metadata.js'
import { type LocatedTensor, readSafetensorsHeader, type SafetensorsHeader } from './safetensors-header.js'

export const singleFileName = 'model.safetensors'
export const indexFileName = 'model.safetensors.index.json'

interface Shard extends SafetensorsHeader {
  file: BinaryFile
}

export class SafetensorsModel {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly fingerprint: string
  readonly bytes: number
  private readonly places = new Map<string, { file: BinaryFile; tensor: LocatedTensor }>()

  private constructor(private readonly shards: Shard[]) {
    const tensors = new Map<string, TensorInfo>()
    const hash = createHash('sha256')
    for (const { file, tensors: located, text } of shards) {
      hash.update(JSON.stringify([basename(file.path), file.size, file.modified])).update(text)
      for (const tensor of located) {
        const other = this.places.get(tensor.name)
        if (other)
          throw new PyramidionError(
            'INVALID_FILE',
            `${file.path}: tensor ${tensor.name} is also in ${basename(other.file.path)}`,
          )
        this.places.set(tensor.name, { file, tensor })
        const { name, format, shape, bytes } = tensor
        tensors.set(name, { name, format, shape, bytes })
      }
    }
    this.tensors = tensors
    this.fingerprint = hash.digest('hex')
    this.bytes = shards.reduce((sum, shard) => sum + shard.file.size, 0)
  }

  static async open(folder: string): Promise<SafetensorsModel> {
    const listed = await listShards(folder)
    const shards: Shard[] = []
    try {
      for (const name of new Set(listed.values())) {
        const file = await BinaryFile.open(join(folder, name))
        shards.push({ file, tensors: [], metadata: new Map(), text: '' })
        Object.assign(shards[shards.length - 1], await readSafetensorsHeader(file))
      }
      const model = new SafetensorsModel(shards)
      for (const [name, shard] of listed)
        if (name !== '' && basename(model.places.get(name)?.file.path ?? '') !== shard)
          throw new PyramidionError('INVALID_FILE', `${join(folder, indexFileName)}: tensor ${name} is not in ${shard}`)
      return model
    } catch (error) {
      await Promise.all(shards.map(shard => shard.file.close()))
      throw error
    }
  }

  async read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    const place = this.places.get(name)
    if (!place) throw new PyramidionError('MISSING_TENSOR', `the checkpoint has no tensor ${name}`)
    return place.file.read(place.tensor.position, place.tensor.bytes, signal)
  }

  /** The entries of a quantized folder, each checked against the tensors it stands for. */
  quantizedTensors(): Map<string, QuantizedTensorMetadata> {
    const quantized = new Map<string, QuantizedTensorMetadata>()
    for (const { file, metadata } of this.shards)
      for (const [name, text] of metadata) {
        if (!name.endsWith('.weight')) continue
        const where = `${file.path}: metadata of ${name}`
        if (quantized.has(name) || this.tensors.has(name))
          throw new PyramidionError('INVALID_FILE', `${where}: the weight is stored twice`)
        const entry = parseQuantizedMetadata(new Fields(parseJsonObject(text, where), where))
        this.checkParts(name, entry, where)
        quantized.set(name, entry)
      }
    return quantized
  }

  private checkParts(name: string, entry: QuantizedTensorMetadata, where: string): void {
    for (const { suffix, format, shape } of storedParts(entry)) {
      const tensor = this.tensors.get(name + suffix)
      if (!tensor) throw new PyramidionError('MISSING_TENSOR', `${where}: tensor ${name + suffix} is missing`)
      if (tensor.format !== format || tensor.shape.join() !== shape.join())
        throw new PyramidionError(
          'INVALID_FILE',
          `${where}: tensor ${name + suffix} must be ${format} of shape [${shape}], got ${tensor.format} of shape [${tensor.shape}]`,
        )
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.shards.map(shard => shard.file.close()))
  }
}

/** Tensor name -> shard file name; for a single file one entry without a name. */
async function listShards(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch(error => {
    throw fileError(error, folder)
  })
  // A single file goes before an index, as in transformers.
  if (names.includes(singleFileName)) return new Map([['', singleFileName]])
  if (!names.includes(indexFileName)) throw missingWeights(folder, names)
  const path = join(folder, indexFileName)
  const weightMap = new Fields(await readJsonObject(path), path).object('weight_map')
  const shards = new Map<string, string>()
  for (const name of Object.keys(weightMap.values)) {
    const shard = weightMap.string(name)
    // A plain file name: an index must not make us open files outside the folder.
    if (!/^[\w][\w.-]*\.safetensors$/.test(shard)) weightMap.fail(name, 'the plain name of a .safetensors file')
    shards.set(name, shard)
  }
  if (shards.size === 0) throw new PyramidionError('EMPTY', `${path}: weight_map lists no tensors`)
  return shards
}

function missingWeights(folder: string, names: string[]): PyramidionError {
  const pickled = names.find(name => /\.(bin|pth|pt)$/.test(name))
  return pickled
    ? new PyramidionError(
        'UNSUPPORTED_FORMAT',
        `${join(folder, pickled)}: is a PyTorch file; weights must be in safetensors`,
      )
    : new PyramidionError('FILE_NOT_FOUND', `${folder}: has neither ${singleFileName} nor ${indexFileName}`)
}
