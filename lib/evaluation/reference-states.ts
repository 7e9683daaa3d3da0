/**
 * The hidden states of a reference model at the scored positions of a text, kept in a file: whoever compares several
 * quantizations with one model reads the text with it once. llama.cpp keeps logits to the same end; hidden states are as many
 * times smaller as the vocabulary is larger than they are, 28 MB instead of 2.4 GB for 48 windows of SmolLM2-135M.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BinaryFile } from '../checkpoint/binary-file.js'
import { syncFolderOf, writeAll, writing } from '../checkpoint/durable-write.js'

const UNFINISHED = /^[0-9a-f]{64}\.f32\..*\.new$/
/** Longer than any window takes. */
const ABANDONED_MS = 24 * 3600 * 1000

/** Values of a window, and how many windows there are. */
interface Extent {
  values: number
  windows: number
}

export interface ReferenceStates {
  /** Fills `hidden` with those of the next window; false where they must be computed, and then given to {@link keep}. */
  next(hidden: Float32Array): Promise<boolean>
  keep(hidden: Float32Array): Promise<void>
  /** After the last window. */
  finish(): Promise<void>
  /** At any end but the process's own. What is not finished is removed. */
  close(): Promise<void>
}

/**
 * `identity`: everything that decides the states. A file that has another size than it must is written anew. Throws WRITE_FAILED
 * where none can be written, later FILE_NOT_FOUND or INVALID_FILE.
 */
export async function openReferenceStates(folder: string, identity: unknown, extent: Extent): Promise<ReferenceStates> {
  const name = createHash('sha256').update(JSON.stringify(identity)).digest('hex')
  const path = join(folder, `${name}.f32`)
  const size = await stat(path).then(
    status => status.size,
    () => undefined,
  )
  if (size === 4 * extent.values * extent.windows) return new KeptStates(await BinaryFile.open(path))
  return writing(path, async () => {
    await mkdir(folder, { recursive: true })
    await removeAbandoned(folder)
    // Of a name of its own: others may write the same states at once.
    const unfinished = `${path}.${randomUUID()}.new`
    return new NewStates(path, unfinished, await open(unfinished, 'wx'))
  })
}

/** What killed processes left: files that a living one would have written to since. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!UNFINISHED.test(name)) continue
    const path = join(folder, name)
    const writtenAt = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    )
    if (Date.now() - writtenAt > ABANDONED_MS) await rm(path, { force: true })
  }
}

class KeptStates implements ReferenceStates {
  #position = 0

  constructor(private readonly file: BinaryFile) {}

  async next(hidden: Float32Array): Promise<boolean> {
    const bytes = await this.file.read(this.#position, hidden.byteLength)
    this.#position += hidden.byteLength
    new Uint8Array(hidden.buffer, hidden.byteOffset, hidden.byteLength).set(bytes)
    return true
  }

  async keep(): Promise<void> {}

  async finish(): Promise<void> {}

  close(): Promise<void> {
    return this.file.close()
  }
}

class NewStates implements ReferenceStates {
  #finished = false

  constructor(
    private readonly path: string,
    private readonly unfinished: string,
    private readonly file: FileHandle,
  ) {}

  async next(): Promise<boolean> {
    return false
  }

  keep(hidden: Float32Array): Promise<void> {
    const bytes = new Uint8Array(hidden.buffer, hidden.byteOffset, hidden.byteLength)
    return writing(this.path, () => writeAll(this.file, bytes))
  }

  finish(): Promise<void> {
    return writing(this.path, async () => {
      await this.file.sync()
      await rename(this.unfinished, this.path)
      this.#finished = true
      await syncFolderOf(this.path)
    })
  }

  close(): Promise<void> {
    return writing(this.path, async () => {
      try {
        await this.file.close()
      } finally {
        if (!this.#finished) await rm(this.unfinished, { force: true })
      }
    })
  }
}
