/**
 * Writes a quantized folder (docs/architecture.md) so that nothing half-written ever has its name. Work happens in
 * `<output>.partial/`, where each finished weight is a safetensors file of its own, put there by a rename: the files present
 * are the journal, and a run that was interrupted resumes with them and ends in the same bytes.
 */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { PyramidionError } from '../errors.js'
import { syncFolderOf, writeFileDurably, writing } from './durable-write.js'
import { describe, Fields } from './fields.js'
import { quantizationMethod } from './huggingface-source.js'
import { parseJsonObject } from './json-file.js'
import type { TensorFormat, TensorInfo } from './model-source.js'
import { type Group, groupPath, preparePartial, readGroups, readSpooled } from './partial-folder.js'
import { parseQuantizedMetadata } from './quantized-layout.js'
import type { QuantizedTensorMetadata } from './quantized-metadata.js'
import { quantizedTensors } from './quantized-parts.js'
import type { StoredWeights, WeightSource } from './read-weights.js'
import { indexFileName, singleFileName } from './safetensors-model.js'
import { compareNames, type TensorToWrite, writeSafetensors } from './safetensors-writer.js'
import { defaultShardBytes, fileMetadata, partBytes, shardsOf, weightFileBytes } from './weight-files.js'

export interface CheckpointWriterOptions {
  /** The folder to make. Its parent is made where it is missing. */
  output: string
  /**
   * Stands for the source and every option that changes the result. What an interrupted run left behind is used when its
   * fingerprint is equal, and discarded when it is not.
   */
  fingerprint: string
  /** Text files beside the weights, config.json among them: ModelSource.files(). */
  files: ReadonlyMap<string, string>
  /** What `quantization_config` says besides the method and the version. */
  quantization: Readonly<Record<string, unknown>>
  /** Replace an existing model at `output`, at the very end. Default false. */
  overwrite?: boolean
  /** Weights go to several files of at most this many bytes, but at least one weight each. Default 5e9. */
  shardBytes?: number
}

const assemblyFolder = 'assembled'
const runFolder = 'run'

export class CheckpointWriter {
  private readonly groups = new Map<string, Group>()
  private readonly tensors = new Map<string, TensorInfo>()
  private readonly quantized = new Map<string, QuantizedTensorMetadata>()
  /** Where the values of tensors are. */
  private readonly paths = new Map<string, string>()
  /** New values of finished tensors. */
  private readonly replaced = new Map<string, Uint8Array>()
  private state: 'open' | 'closed' = 'open'

  private constructor(
    private readonly options: CheckpointWriterOptions,
    private readonly output: string,
    private readonly partial: string,
    groups: Map<string, Group>,
  ) {
    for (const [name, group] of groups) this.enter(name, group)
  }

  /** Throws OUTPUT_EXISTS when `output` may not be written, WRITE_FAILED when it cannot. */
  static async open(options: CheckpointWriterOptions): Promise<CheckpointWriter> {
    if (typeof options.output !== 'string' || options.output === '')
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `output must be the name of a folder, got ${describe(options.output)}`,
      )
    const output = resolve(options.output)
    const partial = `${output}.partial`
    await checkOutput(output, options.overwrite ?? false)
    return writing(partial, async () => {
      await preparePartial(partial, options.fingerprint)
      return new CheckpointWriter(options, output, partial, await readGroups(partial))
    })
  }

  /** Whether the weight is there already, from this run or an interrupted one. */
  has(name: string): boolean {
    return this.groups.has(name)
  }

  /** The note stored with a finished weight; undefined when there is none. */
  note(name: string): unknown {
    return this.groups.get(name)?.note
  }

  /** What is there already, as a reader of the finished folder will get it; what is added later comes in. */
  get finished(): WeightSource {
    const { tensors, quantized } = this
    const read = async (name: string) => {
      const path = this.paths.get(name)
      if (path === undefined) throw new PyramidionError('MISSING_TENSOR', `${this.partial}: has no tensor ${name}`)
      return readSpooled(path, name)
    }
    return { path: this.partial, tensors, quantized, read }
  }

  /**
   * A folder for other files of the run, to be made where it is needed. It is there when the run resumes, and vanishes with the
   * partial folder.
   */
  folder(name: string): string {
    return join(this.partial, runFolder, name)
  }

  /** Of the weight files that the weights added so far make. */
  get weightBytes(): number {
    return weightFileBytes(this.groups, this.shardBytes)
  }

  /** A tensor kept as it is. `note` is any JSON value, for the caller's use on resuming; it is not part of the result. */
  async addPlain(name: string, tensor: PlainTensor, note: unknown = null): Promise<void> {
    const { format, shape, data } = tensor
    await this.spool(name, [{ name, format, shape, bytes: data.length, data: () => data }], undefined, note)
  }

  /** A quantized weight, `name` ending in `.weight`. */
  async addQuantized(name: string, stored: StoredWeights, note: unknown = null): Promise<void> {
    if (!name.endsWith('.weight'))
      throw new PyramidionError('INVALID_ARGUMENT', `the name of a quantized weight must end in .weight, got ${name}`)
    const { metadata, tensors } = quantizedTensors(name, stored)
    await this.spool(name, tensors, JSON.stringify(metadata), note)
  }

  /**
   * Gives a finished tensor other values, of the same length, in the result: {@link finished} and a run that resumes still see
   * the old ones.
   */
  replace(name: string, data: Uint8Array): void {
    this.checkOpen()
    const tensor = this.tensors.get(name)
    if (tensor?.bytes !== data.length)
      throw new PyramidionError(
        'INVALID_SHAPE',
        `tensor ${name} must have ${tensor?.bytes ?? 'no'} bytes, got ${data.length}`,
      )
    this.replaced.set(name, data)
  }

  private async spool(name: string, tensors: TensorToWrite[], entry: string | undefined, note: unknown): Promise<void> {
    this.checkOpen()
    if (this.groups.has(name)) throw new PyramidionError('INVALID_ARGUMENT', `weight ${name} was added already`)
    const path = groupPath(this.partial, name)
    const metadata = new Map([
      ['name', name],
      ['note', JSON.stringify(note)],
    ])
    if (entry !== undefined) metadata.set('entry', entry)
    await writeSafetensors(`${path}.new`, tensors, metadata)
    await writing(path, () => rename(`${path}.new`, path))
    this.enter(name, {
      path,
      tensors: tensors.map(({ data, ...info }) => info),
      ...(entry ? { entry } : {}),
      note,
    })
  }

  private enter(name: string, group: Group): void {
    const { path, tensors, entry } = group
    if (entry !== undefined) {
      this.quantized.set(name, parseQuantizedMetadata(new Fields(parseJsonObject(entry, path), path)))
    }
    for (const tensor of tensors) {
      this.tensors.set(tensor.name, tensor)
      this.paths.set(tensor.name, path)
    }
    this.groups.set(name, group)
  }

  /**
   * Puts the weights together, and the folder in its place. Returns the model's files and their bytes. `beside` makes text
   * files about the model, by name, that go into its folder; it is told those bytes.
   */
  async finalize(
    beside: (bytes: number) => ReadonlyMap<string, string> = () => new Map(),
  ): Promise<{ bytes: number; files: string[] }> {
    this.checkOpen()
    if (this.groups.size === 0) throw new PyramidionError('EMPTY', 'a checkpoint needs at least one tensor')
    const folder = join(this.partial, assemblyFolder)
    const result = await writing(folder, async () => {
      await rm(folder, { recursive: true, force: true })
      await mkdir(folder)
      const written = await writeTexts(folder, this.textFiles())
      for (const [name, size] of await this.writeWeights(folder)) written.set(name, size)
      const bytes = [...written.values()].reduce((sum, size) => sum + size, 0)
      await writeTexts(folder, beside(bytes))
      return { bytes, files: [...written.keys()].sort() }
    })
    await writing(this.output, () => this.moveIntoPlace(folder))
    this.state = 'closed'
    return result
  }

  /** Ends without a result. `keep`: leave the partial folder, so that the next run resumes. Safe to call at any time. */
  async abort({ keep }: { keep: boolean }): Promise<void> {
    if (this.state === 'closed') return
    this.state = 'closed'
    if (!keep) await writing(this.partial, () => rm(this.partial, { recursive: true, force: true }))
  }

  private textFiles(): Map<string, string> {
    const config = {
      ...parseJsonObject(this.options.files.get('config.json') ?? '{}', 'config.json'),
      quantization_config: { ...quantizationMethod, ...this.options.quantization },
    }
    return new Map([...this.options.files, ['config.json', `${JSON.stringify(config, null, 2)}\n`]])
  }

  private async writeWeights(folder: string): Promise<Map<string, number>> {
    const shards = shardsOf(this.groups, this.shardBytes)
    const names = shards.map((_, i) => shardName(i, shards.length))
    const sizes = new Map<string, number>()
    for (const [i, shard] of shards.entries()) sizes.set(names[i], await this.writeShard(join(folder, names[i]), shard))
    if (shards.length > 1) {
      const located = shards.flatMap((shard, i) =>
        shard.flatMap(([, group]) => group.tensors.map(t => [t.name, names[i]])),
      )
      const index = {
        metadata: { total_size: shards.flat().reduce((sum, [, group]) => sum + partBytes(group), 0) },
        weight_map: Object.fromEntries(located.sort(([a], [b]) => compareNames(a, b))),
      }
      const text = new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`)
      sizes.set(indexFileName, await writeFileDurably(join(folder, indexFileName), [text]))
    }
    return sizes
  }

  private async writeShard(path: string, groups: [string, Group][]): Promise<number> {
    const tensors = groups.flatMap(([, group]) =>
      group.tensors.map(tensor => ({
        ...tensor,
        data: () => this.replaced.get(tensor.name) ?? readSpooled(group.path, tensor.name),
      })),
    )
    return writeSafetensors(path, tensors, fileMetadata(groups))
  }

  private get shardBytes(): number {
    return this.options.shardBytes ?? defaultShardBytes
  }

  /** The old folder, if any, is set aside for the moment between two renames and comes back if the second fails. */
  private async moveIntoPlace(folder: string): Promise<void> {
    await checkOutput(this.output, this.options.overwrite ?? false)
    const aside = join(this.partial, 'replaced')
    await rm(aside, { recursive: true, force: true })
    const replaced = await rename(this.output, aside).then(
      () => true,
      error => {
        if (error.code === 'ENOENT') return false
        throw error
      },
    )
    try {
      await rename(folder, this.output)
    } catch (error) {
      if (replaced) await rename(aside, this.output)
      throw error
    }
    await syncFolderOf(this.output)
    await rm(this.partial, { recursive: true, force: true })
  }

  private checkOpen(): void {
    if (this.state === 'closed') throw new PyramidionError('DISPOSED', `the writer of ${this.output} has ended`)
  }
}

export interface PlainTensor {
  format: TensorFormat
  shape: number[]
  data: Uint8Array
}

/** Nothing, an empty folder, or a model that may be replaced: never anything else of the user's. */
async function checkOutput(output: string, overwrite: boolean): Promise<void> {
  const names = await readdir(output).catch((error): string[] => {
    if (error.code === 'ENOENT') return []
    if (error.code === 'ENOTDIR')
      throw new PyramidionError('OUTPUT_EXISTS', `output ${output} is a file, or inside one`)
    throw new PyramidionError('WRITE_FAILED', `output ${output} cannot be looked into: ${error.message}`, {
      cause: error,
    })
  })
  if (names.length === 0) return
  if (!overwrite)
    throw new PyramidionError('OUTPUT_EXISTS', `output ${output} exists already; ask for overwrite to replace it`)
  if (!names.includes('config.json'))
    throw new PyramidionError(
      'OUTPUT_EXISTS',
      `output ${output} holds something that is not a model; it is not replaced`,
    )
}

/** Returns the size of each in bytes. */
async function writeTexts(folder: string, texts: ReadonlyMap<string, string>): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  for (const [name, text] of texts)
    sizes.set(name, await writeFileDurably(join(folder, name), [new TextEncoder().encode(text)]))
  return sizes
}

function shardName(index: number, count: number): string {
  if (count === 1) return singleFileName
  const digits = (value: number) => String(value).padStart(5, '0')
  return `model-${digits(index + 1)}-of-${digits(count)}.safetensors`
}
