// The main job end to end, on the model that ships in the repository: quantize it four ways at the same rate, measure
// each against the original, print one table, and let the best one talk.
//
//   node scripts/quickstart.mjs [--json]
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatTable, withProgress } from '../dist/cli/terminal.js'
import { formatBytes } from '../dist/format-bytes.js'
import { evaluate, inspectModel, loadModel, quantizeModel } from '../dist/index.js'

const BITS = 3.25
const EMBEDDING_BITS = 8
const WINDOWS = 48
const json = process.argv.includes('--json')

const source = fileURLToPath(new URL('../models/tales', import.meta.url))
const text = await readFile(join(source, 'evaluation.txt'), 'utf8')
const calibration = await readFile(join(source, 'calibration.txt'), 'utf8')
const folder = await mkdtemp(join(tmpdir(), 'pyramidion-quickstart-'))

const variants = [
  { name: 'original (bfloat16)' },
  { name: 'integer rounding', settings: { quantizer: 'integer' } },
  { name: 'PVQ', settings: {} },
  { name: 'PVQ + low rank', settings: { rank: 'auto', lowRank: 'qera', rounding: 'nearest', calibration } },
  { name: 'PVQ, guided rounding', settings: { calibration } },
]

try {
  await withProgress(json, async update => {
    const total = variants.length * 100
    for (const [position, variant] of variants.entries()) {
      const report = (share, label) => update({ done: Math.round((position + share) * 100), total, label })
      variant.path = source
      if (variant.settings !== undefined) {
        variant.path = join(folder, String(position))
        variant.quantized = await quantizeModel(source, {
          bits: BITS,
          embeddingBits: EMBEDDING_BITS,
          output: variant.path,
          onProgress: ({ done, total }) => report((0.3 * done) / total, `${variant.name}: quantizing`),
          ...variant.settings,
        })
      }
      variant.inspection = await inspectModel(variant.path)
      variant.result = await evaluate({
        model: variant.path,
        reference: source,
        text,
        windows: WINDOWS,
        onProgress: ({ done, total }) => report(0.3 + (0.7 * done) / total, `${variant.name}: measuring`),
      })
    }
  })

  const rows = variants.map(({ name, inspection, result }) => [
    name,
    inspection.linearBitsPerWeight.toFixed(3),
    inspection.bitsPerWeight.toFixed(3),
    formatBytes(inspection.bytes),
    result.perplexity.toFixed(2),
    result.klDivergence.mean.toFixed(4),
    result.tokensPerSecond.toFixed(0),
  ])
  const header = ['', 'linear bits/weight', 'all bits/weight', 'file', 'perplexity', 'KL divergence', 'tokens/s']

  const winner = variants
    .slice(1)
    .reduce((best, one) => (one.result.klDivergence.mean < best.result.klDivergence.mean ? one : best))
  const model = await loadModel(winner.path)
  let tale = ''
  for await (const piece of model.generate('Once upon a time there was a king who', {
    maxTokens: 80,
    temperature: 0.7,
    topP: 0.9,
    seed: 7,
  })) {
    tale += piece
  }
  await model.dispose()

  if (json) {
    console.log(
      JSON.stringify({
        winner: winner.name,
        tale,
        variants: variants.map(({ name, inspection, result }) => ({ name, ...inspection, ...result })),
      }),
    )
  } else {
    console.log(`\n${formatTable(header, rows)}\n`)
    console.log(
      `${BITS} bits a weight counts everything stored for the linear layers: codes, scales, gain levels, low-rank factors.`,
    )
    console.log(
      'The low-rank correction (QERA) takes its bits from the codes, in the layers where that pays.\n' +
        `The embedding, shared with the head, is kept at ${EMBEDDING_BITS} bits. Measured on ${variants[0].result.tokens} tokens of held-out text.\n`,
    )
    console.log(`${winner.name}:\n  Once upon a time there was a king who${tale.replaceAll('\n', '\n  ')}\n`)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
