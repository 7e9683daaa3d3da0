// llama.cpp's quantization of the same weights on one thread, called in its shared library: node-llama-cpp has no function for it.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { llamaLibraries } from '../peers.mjs'
import { gaussians } from '../random-weights.mjs'

export async function prepare({ rows, columns, type, importance }) {
  const koffi = createRequire(new URL('../../package.json', import.meta.url))('koffi')
  const library = koffi.load(join(llamaLibraries(), 'libggml-base.so'))
  const quantize = library.func(
    'size_t ggml_quantize_chunk(int, const float *, void *, int64_t, int64_t, int64_t, const float *)',
  )
  const values = gaussians(rows * columns, 1)
  const weights = importance ? gaussians(columns, 5).map(value => value * value) : null
  const encoded = Buffer.alloc(rows * columns * 4)
  const run = () => quantize(type, values, encoded, 0, rows, columns, weights)
  return { action: () => ({ run, units: rows * columns }) }
}
