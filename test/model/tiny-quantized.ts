// A tiny model and what quantizeModel makes of it, both open, and the quantized weights as a reference reads them.
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ModelSource } from '../../dist/checkpoint/model-source.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { Projection } from '../../dist/model/projection.js'
import { type QuantizeModelOptions, quantizeModel } from '../../dist/quantization/quantize-model.js'
import { type Tensors, type TinyConfig, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))

/** With the vocabulary of the tokenizer that quantizeModel copies. */
export const quantizableConfig: TinyConfig = {
  ...tinyConfig,
  num_hidden_layers: 2,
  vocab_size: 2048,
  hidden_size: 24,
  intermediate_size: 36,
}

export interface TinyQuantized {
  plain: ModelSource
  quantized: ModelSource
  /** All tensors, those that were quantized as they decode. */
  dequantized: Tensors
}

export async function withQuantizedTiny(
  config: TinyConfig,
  tensors: Tensors,
  options: Omit<QuantizeModelOptions, 'output'>,
  use: (models: TinyQuantized) => Promise<void>,
): Promise<void> {
  const output = join(await mkdtemp(join(tmpdir(), 'pyramidion-tiny-quantized-')), 'model')
  try {
    await withCheckpoint(config, tensors, async folder => {
      for (const file of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(tales, file), join(folder, file))
      await quantizeModel(folder, { ...options, output })
      const plain = await openModel(folder)
      const quantized = await openModel(output)
      try {
        const dequantized: Tensors = new Map(tensors)
        for (const name of quantized.quantized.keys()) {
          const { linear } = await Projection.load(quantized, name.slice(0, -'.weight'.length), false)
          dequantized.set(name, { shape: tensors.get(name)!.shape, values: matrixOf(linear, tensors.get(name)!.shape) })
        }
        await use({ plain, quantized, dequantized })
      } finally {
        await plain.close()
        await quantized.close()
      }
    })
  } finally {
    await rm(join(output, '..'), { recursive: true })
  }
}

/** The effective matrix of a layer, rows x columns. */
export function matrixOf(linear: Projection['linear'], [rows, columns]: number[]): Float32Array {
  const values = new Float32Array(rows * columns)
  linear.gatherRows(
    Int32Array.from({ length: rows }, (_, row) => row),
    values,
  )
  return values
}
