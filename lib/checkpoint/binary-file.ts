/** Positional, asynchronous reads of one weight file: a piece at a time, always complete, never outside the file. */
import { type FileHandle, open } from 'node:fs/promises'
import { PyramidionError } from '../errors.js'

/** Bytes a single read asks for: small enough that an abort is noticed soon. */
const chunkBytes = 16 * 2 ** 20
/** Largest buffer Node 20 makes. */
const maximumBufferBytes = 2 ** 32 - 1

/** The library's error for a failed file-system call; errors that are ours already pass through. */
export function fileError(error: unknown, path: string): PyramidionError {
  if (error instanceof PyramidionError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'does not exist: a part of the path is not a folder',
    EISDIR: 'is a folder, not a file',
    EACCES: 'may not be read: permission denied',
  }
  return new PyramidionError('FILE_NOT_FOUND', `${path}: ${reasons[code ?? ''] ?? `cannot be read: ${message}`}`, {
    cause: error,
  })
}

export class BinaryFile {
  private constructor(
    readonly path: string,
    readonly size: number,
    readonly modified: number,
    private handle: FileHandle | undefined,
  ) {}

  static async open(path: string): Promise<BinaryFile> {
    let handle: FileHandle | undefined
    try {
      handle = await open(path, 'r')
      const status = await handle.stat()
      if (!status.isFile()) throw new PyramidionError('FILE_NOT_FOUND', `${path}: is not a regular file`)
      return new BinaryFile(path, status.size, status.mtimeMs, handle)
    } catch (error) {
      await handle?.close()
      throw fileError(error, path)
    }
  }

  /** Exactly `length` bytes from `position`, in a buffer of their own. */
  async read(position: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (position < 0 || length < 0 || position + length > this.size)
      throw new PyramidionError(
        'INVALID_FILE',
        `${this.path}: is truncated: bytes ${position} to ${position + length} are needed, the file has ${this.size}`,
      )
    if (length > maximumBufferBytes)
      throw new PyramidionError('UNSUPPORTED_FORMAT', `${this.path}: a tensor of ${length} bytes is larger than 4 GiB`)
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length; ) {
      if (signal?.aborted) throw new PyramidionError('ABORTED', `reading ${this.path} was aborted`)
      if (!this.handle) throw new PyramidionError('DISPOSED', `${this.path}: the model was closed`)
      const want = Math.min(chunkBytes, length - done)
      const { bytesRead } = await this.handle.read(bytes, done, want, position + done).catch(error => {
        throw fileError(error, this.path)
      })
      if (bytesRead === 0) throw new PyramidionError('INVALID_FILE', `${this.path}: became shorter while it was read`)
      done += bytesRead
    }
    return bytes
  }

  async close(): Promise<void> {
    const handle = this.handle
    this.handle = undefined
    await handle?.close()
  }
}
