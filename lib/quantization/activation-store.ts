/**
 * Hidden states between the passes of a calibration: more than memory should hold when there is much text. Stores of one
 * space share a limit of memory; what does not fit it goes to a file a store, and comes back an entry (a window of tokens,
 * say) at a time.
 */
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeError, writing } from '../checkpoint/durable-write.js'
import { PyramidionError } from '../errors.js'

const FLOAT_BYTES = 4

/** The memory and the folder that the stores of one run share. */
export class ActivationSpace {
  readonly #stores: ActivationStore[] = []
  #free: number

  /**
   * @param folder for the files of what does not fit; made when it is first needed, removed by {@link close}.
   * @param memoryBytes that all stores together may hold.
   */
  constructor(
    private readonly folder: string,
    memoryBytes: number,
  ) {
    this.#free = memoryBytes
  }

  /**
   * A store of entries of at most these numbers of values. Its first entries get what is left of the memory, for as long as
   * it lives.
   * @param name of its file, different from those of the other stores in use.
   */
  store(name: string, capacities: readonly number[]): ActivationStore {
    let kept = 0
    let bytes = 0
    while (kept < capacities.length && bytes + capacities[kept] * FLOAT_BYTES <= this.#free) {
      bytes += capacities[kept++] * FLOAT_BYTES
    }
    this.#free -= bytes
    const store = new ActivationStore(join(this.folder, name), capacities, kept, () => {
      this.#free += bytes
    })
    this.#stores.push(store)
    return store
  }

  /** Closes all stores and removes their files. Calling it again does nothing. */
  async close(): Promise<void> {
    for (const store of this.#stores) await store.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Float32 entries that can be written and read in any order. Made by {@link ActivationSpace.store}. */
export class ActivationStore {
  readonly #entries: (Float32Array | undefined)[]
  /** Where each entry starts in the file, in bytes. */
  readonly #positions: number[]
  /** How many values each entry has. */
  readonly #lengths: (number | undefined)[]
  #file?: FileHandle
  #closed = false

  /** @internal `kept` entries stay in memory. */
  constructor(
    private readonly path: string,
    private readonly capacities: readonly number[],
    private readonly kept: number,
    private readonly onClose: () => void,
  ) {
    this.#entries = new Array(kept)
    this.#lengths = new Array(capacities.length)
    let position = 0
    this.#positions = capacities.map((capacity, entry) => {
      const start = position
      if (entry >= kept) position += capacity * FLOAT_BYTES
      return start
    })
  }

  /** Number of entries. */
  get count(): number {
    return this.capacities.length
  }

  /** Values of an entry. Throws EMPTY when it was never written. */
  lengthOf(entry: number): number {
    const length = this.#lengths[entry]
    if (length === undefined) throw new PyramidionError('EMPTY', `${this.path}: entry ${entry} was never written`)
    return length
  }

  /** Makes an entry a copy of `values`. Throws INVALID_SHAPE when they are more than it may have, WRITE_FAILED, DISPOSED. */
  async write(entry: number, values: Float32Array): Promise<void> {
    this.#checkOpen()
    if (!(values.length <= this.capacities[entry])) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `${this.path}: entry ${entry} of ${this.count} takes ${this.capacities[entry] ?? 'no'} values, got ${values.length}`,
      )
    }
    if (entry < this.kept) {
      this.#entries[entry] ??= new Float32Array(this.capacities[entry])
      // What was borrowed is in its place already.
      if (values.buffer !== this.#entries[entry].buffer) this.#entries[entry].set(values)
    } else {
      this.#file ??= await createFile(this.path)
      await writeAt(this.#file, values, this.#positions[entry], this.path)
    }
    this.#lengths[entry] = values.length
  }

  /**
   * Copies an entry to `values`, by default an array of its length. Throws EMPTY for an entry that was never written,
   * INVALID_SHAPE when it has another length, INVALID_FILE when the file lost it, DISPOSED.
   */
  async read(entry: number, values?: Float32Array): Promise<Float32Array> {
    this.#checkOpen()
    const target = values ?? new Float32Array(this.lengthOf(entry))
    const borrowed = await this.borrow(entry, target)
    if (borrowed !== target) target.set(borrowed)
    return target
  }

  /**
   * An entry to read or change without copying it back and forth: its own memory where it is kept there, or `buffer` (of its
   * length) filled from the file. {@link write} with what this returned keeps changes; without that they may be lost or not.
   * Throws as {@link read} does.
   */
  async borrow(entry: number, buffer: Float32Array): Promise<Float32Array> {
    this.#checkOpen()
    const length = this.lengthOf(entry)
    if (buffer.length !== length) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `${this.path}: entry ${entry} has ${length} values, not ${buffer.length}`,
      )
    }
    if (entry < this.kept) return this.#entries[entry]!.subarray(0, length)
    await readAt(this.#file!, buffer, this.#positions[entry], this.path)
    return buffer
  }

  /** Gives the memory back and removes the file. Calling it again does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#entries.length = 0
    this.onClose()
    if (this.#file === undefined) return
    await this.#file.close()
    await rm(this.path, { force: true })
  }

  #checkOpen(): void {
    if (this.#closed) throw new PyramidionError('DISPOSED', `${this.path}: the store was closed`)
  }
}

/** What a killed run left under this name is overwritten. */
function createFile(path: string): Promise<FileHandle> {
  return writing(path, async () => {
    await mkdir(dirname(path), { recursive: true })
    return open(path, 'w+')
  })
}

async function writeAt(file: FileHandle, values: Float32Array, position: number, path: string): Promise<void> {
  const bytes = bytesOf(values)
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done).catch(error => {
      throw writeError(error, path)
    })
    done += bytesWritten
  }
}

async function readAt(file: FileHandle, values: Float32Array, position: number, path: string): Promise<void> {
  const bytes = bytesOf(values)
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) throw new PyramidionError('INVALID_FILE', `${path}: became shorter while it was in use`)
    done += bytesRead
  }
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
