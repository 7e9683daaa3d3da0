/** The one way to open a model: a Hugging Face folder, a folder quantized by this library, or a GGUF file. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PyramidionError } from '../errors.js'
import { fileError } from './binary-file.js'
import { GgufSource } from './gguf-source.js'
import { HuggingFaceSource } from './huggingface-source.js'
import type { ModelSource } from './model-source.js'

/**
 * Opens and validates a model; weights are read only when asked for. `path` is a folder with config.json and safetensors,
 * a `.gguf` file, or a folder that holds exactly one. Throws FILE_NOT_FOUND, INVALID_FILE, UNSUPPORTED_FORMAT,
 * UNSUPPORTED_ARCHITECTURE or MISSING_TENSOR. Close the result when done.
 */
export async function openModel(path: string): Promise<ModelSource> {
  if (typeof path !== 'string' || path === '')
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `path must be the name of a folder or file, got ${JSON.stringify(path)}`,
    )
  const status = await stat(path).catch(error => {
    throw fileError(error, path)
  })
  if (status.isDirectory()) return openFolder(path)
  if (path.endsWith('.safetensors'))
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `path must be the folder that holds ${path}: config.json belongs to it`,
    )
  return GgufSource.open(path)
}

async function openFolder(path: string): Promise<ModelSource> {
  const names = await readdir(path).catch(error => {
    throw fileError(error, path)
  })
  if (names.includes('config.json')) return HuggingFaceSource.open(path)
  const files = names.filter(name => name.endsWith('.gguf')).sort()
  if (files.length === 1) return GgufSource.open(join(path, files[0]))
  throw new PyramidionError(
    'FILE_NOT_FOUND',
    files.length > 1
      ? `${path}: holds several GGUF files, name one of ${files.join(', ')}`
      : `${path}: has neither config.json nor a .gguf file`,
  )
}
