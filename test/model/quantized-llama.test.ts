import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { Llama } from '../../dist/model/llama.js'
import { commonPreparation, Projection } from '../../dist/model/projection.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { type QuantizeModelOptions, quantizeModel } from '../../dist/quantization/quantize-model.js'
import { randomIds, randomNormal } from './random-normal.js'
import { referenceLogits } from './reference-llama.js'
import { randomTensors, type Tensors, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
/** The vocabulary of the tokenizer that quantizeModel copies. */
const config = { ...tinyConfig, vocab_size: 2048, hidden_size: 24, intermediate_size: 36 }

describe('a quantized model', () => {
  let seed = 50
  const variants: Record<string, Omit<QuantizeModelOptions, 'output'>> = {
    'PVQ, rotated inputs shared': { bits: 4 },
    'PVQ with a low-rank correction': { bits: 7, rank: 2 },
    'PVQ, embedding and head too': { bits: 5, embeddingBits: 6 },
    'integer rounding': { bits: 5, quantizer: 'integer' },
    'block exponents': { bits: 5, quantizer: 'mxint' },
  }
  for (const [what, options] of Object.entries(variants)) {
    const ownSeed = seed++
    it(`computes what its dequantized weights say: ${what}`, async () => {
      const tensors = randomTensors(config, ownSeed)
      const output = join(await mkdtemp(join(tmpdir(), 'pyramidion-quantized-')), 'model')
      try {
        await withCheckpoint(config, tensors, async folder => {
          for (const file of ['tokenizer.json', 'tokenizer_config.json'])
            await cp(join(tales, file), join(folder, file))
          await quantizeModel(folder, { ...options, output })
        })
        const source = await openModel(output)
        const dequantized: Tensors = new Map(tensors)
        for (const name of source.quantized.keys()) {
          const { shape } = tensors.get(name)!
          const { linear } = await Projection.load(source, name.slice(0, -'.weight'.length), false)
          const values = new Float32Array(shape[0] * shape[1])
          linear.gatherRows(
            Int32Array.from({ length: shape[0] }, (_, row) => row),
            values,
          )
          dequantized.set(name, { shape, values })
        }
        assert.equal(source.quantized.size, 7 * config.num_hidden_layers + (options.embeddingBits ? 2 : 0))

        const ids = randomIds(new RandomSource(ownSeed), 19, config.vocab_size)
        const expected = referenceLogits(config, dequantized, ids)
        const model = await Llama.load(source, { kvCache: 'f32' })
        await source.close()
        let worst = 0
        for (const { hidden, tokens } of model.run(ids, model.newCache())) {
          const logits = model.head(hidden, tokens)
          for (const [t, row] of expected.entries()) {
            for (const [i, value] of row.entries()) {
              worst = Math.max(worst, Math.abs(logits[t * config.vocab_size + i] - value))
            }
          }
        }
        assert.ok(worst < 1e-3, `largest difference ${worst}, seed ${ownSeed}`)
      } finally {
        await rm(join(output, '..'), { recursive: true })
      }
    })
  }

  for (const options of [{ bits: 4 }, { bits: 4.5, quantizer: 'mxint' }] as const) {
    it(`prepares the input that projections share once, to the same bits: ${JSON.stringify(options)}`, async () => {
      const output = join(await mkdtemp(join(tmpdir(), 'pyramidion-quantized-')), 'model')
      await quantizeModel(tales, { ...options, output })
      const source = await openModel(output)
      try {
        const names = ['q_proj', 'k_proj', 'v_proj'].map(name => `model.layers.0.self_attn.${name}`)
        const load = (name: string) => Projection.load(source, name, false, undefined, 'int8')
        const projections = await Promise.all(names.map(load))
        const x = randomNormal(new RandomSource(seed), 7 * 256)
        const prepared = x.slice()
        commonPreparation(projections)!(prepared, 7)
        assert.notDeepEqual(prepared, x)
        for (const projection of projections) {
          const [once, apart] = [0, 1].map(() => new Float32Array(7 * projection.outFeatures))
          projection.forward(prepared, 7, once, true)
          projection.forward(x, 7, apart)
          assert.deepEqual(once, apart)
        }
      } finally {
        await source.close()
        await rm(join(output, '..'), { recursive: true })
      }
    })
  }
})
