// LQER's setting: MXINT weights and activations, no rotation, no calibrated rounding, and a low-rank correction of each of the
// family's methods on top. Prints perplexity and divergence for every number of bits and rank, and what the same bytes give
// when they are spent on the codes: MXINT with more bits or smaller blocks, and PVQ.
//
//   node bench/low-rank.mjs [SOURCE] [--text FILE] [--calibration FILE] [--settings W4A8,W4A6,W3A8,W2A8]
//       [--ranks 16,32,64,128,256] [--windows 12] [--calibration-tokens 16384] [--json]
//
// SOURCE and its texts default to models/tales. A rank beyond a layer's smaller side is that side.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CheckpointWriter } from '../dist/checkpoint/checkpoint-writer.js'
import { readWeights } from '../dist/checkpoint/read-weights.js'
import { formatTable } from '../dist/cli/terminal.js'
import { evaluate, mxint, openModel } from '../dist/index.js'
import { encodeCodes } from '../dist/linear/encode-linear.js'
import { lowRankBits, lowRankScaling, quantizeFactors } from '../dist/linear/low-rank.js'
import { requiredTensors } from '../dist/model/tensor-requirements.js'
import { native } from '../dist/native.js'
import { ActivationSpace } from '../dist/quantization/activation-store.js'
import { Calibration } from '../dist/quantization/calibration.js'
import { calibrationWindows } from '../dist/quantization/calibration-windows.js'
import { planQuantizer } from '../dist/quantizers/plan-quantizer.js'

const tales = fileURLToPath(new URL('../models/tales/', import.meta.url))
const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    text: { type: 'string', default: join(tales, 'evaluation.txt') },
    calibration: { type: 'string', default: join(tales, 'calibration.txt') },
    settings: { type: 'string', default: 'W4A8,W4A6,W3A8,W2A8' },
    ranks: { type: 'string', default: '16,32,64,128,256' },
    windows: { type: 'string', default: '12' },
    'calibration-tokens': { type: 'string', default: '16384' },
    json: { type: 'boolean', default: false },
  },
})
const methods = ['lqer', 'l2qer', 'qera']
const [sourcePath = tales] = positionals
const ranks = options.ranks.split(',').map(Number)
const settings = options.settings.split(',').map(name => {
  const [, weightBits, inputBits] = /^W(\d)A(\d)$/.exec(name)
  return { name, bits: Number(weightBits), activations: `mxint${inputBits}` }
})
/** Beyond this MXINT has nothing to spend bits on. */
const mostMxintBits = 8.5

const folder = await mkdtemp(join(tmpdir(), 'pyramidion-low-rank-'))
try {
  const models = await quantizeAll(new Set(settings.map(({ bits }) => bits)))
  const rows = await measureAll(models)
  if (options.json) console.log(JSON.stringify(rows))
  else print(rows)
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** Every variant in one walk through the model, so that it is calibrated once. Returns stored bits a weight by variant. */
async function quantizeAll(bitsOfWeights) {
  const source = await openModel(sourcePath)
  const tensors = requiredTensors(source.config)
  const writers = new Map()
  const storedBits = new Map()
  const files = await source.files()
  const add = async (variant, name, weights, stored, bits) => {
    if (!writers.has(variant)) {
      const output = join(folder, variant)
      writers.set(variant, await CheckpointWriter.open({ output, fingerprint: variant, files, quantization: {} }))
      storedBits.set(variant, 0)
    }
    await writers.get(variant).addQuantized(name, stored)
    storedBits.set(variant, storedBits.get(variant) + bits / weights)
  }
  const linear = tensors.filter(({ role }) => role === 'linear')
  const all = linear.reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, 0)
  const windows = await calibrationWindows(
    source,
    [await readFile(options.calibration, 'utf8')],
    Number(options['calibration-tokens']),
  )
  const space = new ActivationSpace(join(folder, 'hidden'), 2 ** 30)
  const calibration = new Calibration(source, windows, { space, onWindow: () => {} })
  for (const { name, shape } of linear) {
    const { hessian } = await calibration.statisticsOf(name)
    const { weights: weight } = await readWeights(source, name)
    const [rows, columns] = shape
    for (const bits of bitsOfWeights) {
      const quantizer = mxint({ bits })
      const codeBits = quantizer.storedBits(rows, columns)
      const { weights, error } = await encodeCodes(weight, { quantizer, rotationSeed: null }, true)
      await add(`${bits} plain`, name, all, { weights, rotation: null }, codeBits)
      const largest = Math.min(Math.max(...ranks), rows, columns)
      for (const method of methods) {
        const scaling = lowRankScaling(method, hessian)
        const { a, b } = await native.lowRankFactorsAsync(error, rows, columns, largest, scaling)
        for (const wanted of ranks) {
          const rank = Math.min(wanted, largest)
          const leading = b.filter((_, i) => i % largest < rank)
          const lowRank = quantizeFactors(a.slice(0, rank * columns), leading, rows, columns, rank)
          const total = codeBits + lowRankBits(rows, columns, rank)
          await add(`${bits} ${method} ${wanted}`, name, all, { weights, rotation: null, lowRank }, total)
        }
      }
      for (const wanted of ranks) {
        const total = codeBits + lowRankBits(rows, columns, Math.min(wanted, rows, columns))
        for (const [control, rotationSeed, most] of [
          ['mxint', null, mostMxintBits],
          ['pvq', 0, 8],
        ]) {
          const target = Math.min(total, most * rows * columns)
          const other = planQuantizer(control, rows, columns, target)
          const coded = await encodeCodes(weight, { quantizer: other, rotationSeed }, false)
          const rotation = rotationSeed === null ? null : { kind: 'hadamard', seed: rotationSeed }
          await add(
            `${bits} ${control} ${wanted}`,
            name,
            all,
            { weights: coded.weights, rotation },
            other.storedBits(rows, columns),
          )
        }
      }
    }
  }
  await space.close()
  for (const writer of writers.values()) {
    for (const { name, shape, role } of tensors) {
      if (role === 'linear') continue
      const { format } = source.tensors.get(name)
      const plain = ['f32', 'f16', 'bf16'].includes(format)
      await writer.addPlain(
        name,
        plain ? { format, shape, data: await source.read(name) } : await halves(source, name, shape),
      )
    }
    await writer.finalize()
  }
  await source.close()
  return storedBits
}

/** A block format, which safetensors does not have, as f16. */
async function halves(source, name, shape) {
  const { weights } = await readWeights(source, name)
  const values = new Float32Array(weights.rows * weights.columns)
  await native.decodeRowsAsync(weights, 0, weights.rows, values)
  return { format: 'f16', shape, data: new Uint8Array(native.toHalf(values).buffer) }
}

async function measureAll(models) {
  const text = await readFile(options.text, 'utf8')
  const rows = []
  for (const { name, bits, activations } of settings) {
    for (const [variant, bitsPerWeight] of models) {
      const [weightBits, method, rank = '0'] = variant.split(' ')
      if (Number(weightBits) !== bits) continue
      const { perplexity, klDivergence } = await evaluate({
        model: join(folder, variant),
        reference: sourcePath,
        activations,
        text,
        windows: Number(options.windows),
      })
      rows.push({ setting: name, method, rank: Number(rank), bitsPerWeight, perplexity, kl: klDivergence.mean })
      console.error(`${name} ${method} ${rank}: KL ${klDivergence.mean.toFixed(4)}`)
    }
  }
  return rows
}

function print(rows) {
  const columns = [...methods, 'mxint', 'pvq']
  for (const [title, show] of [
    ['KL divergence', row => row.kl.toFixed(4)],
    ['perplexity', row => row.perplexity.toFixed(2)],
  ]) {
    const lines = settings.flatMap(({ name }) => {
      const of = (method, rank) => rows.find(row => row.setting === name && row.method === method && row.rank === rank)
      const plain = of('plain', 0)
      return [
        [name, '0', plain.bitsPerWeight.toFixed(2), show(plain), ...columns.map(() => '')],
        ...ranks.map(rank => [
          name,
          String(rank),
          of('lqer', rank).bitsPerWeight.toFixed(2),
          '',
          ...columns.map(method => show(of(method, rank))),
        ]),
      ]
    })
    const header = ['', 'rank', 'bits', 'plain', ...methods, 'MXINT, same bytes', 'PVQ, same bytes']
    console.log(`${title}\n\n${formatTable(header, lines)}\n`)
  }
}
