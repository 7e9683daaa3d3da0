/** Writes that have reached the disk when they return, with the library's error for whatever goes wrong. */
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { PyramidionError } from '../errors.js'

/** WRITE_FAILED for a failed file-system call; errors that are ours already pass through. */
export function writeError(error: unknown, path: string): PyramidionError {
  if (error instanceof PyramidionError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    ENOSPC: 'no space is left on the disk',
    EDQUOT: 'the disk quota is used up',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOENT: 'the folder vanished',
    ENOTDIR: 'a part of the path is a file',
  }
  return new PyramidionError('WRITE_FAILED', `${path}: cannot be written: ${reasons[code ?? ''] ?? message}`, {
    cause: error,
  })
}

/** Runs a step that writes at `path`, turning its file-system errors into WRITE_FAILED. */
export async function writing<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw writeError(error, path)
  }
}

/** A file with these contents, new or replaced, flushed to the disk. Returns its size in bytes. */
export function writeFileDurably(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<number> {
  return writing(path, async () => {
    const file = await open(path, 'w')
    try {
      let size = 0
      for await (const chunk of chunks) {
        await writeAll(file, chunk)
        size += chunk.length
      }
      await file.sync()
      return size
    } finally {
      await file.close()
    }
  })
}

/** All of `bytes`, at the end of what was written. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 26))).bytesWritten
}

/** Makes a rename or a new name in the folder of `path` survive a power cut; a no-op where folders cannot be synced. */
export async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}
