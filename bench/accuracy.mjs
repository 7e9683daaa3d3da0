// Accuracy against rate on a real model: quantizes SOURCE at each rate, without calibration, and measures every result
// against SOURCE. Prints the README's table, with the time and memory each quantization took.
//
//   node bench/accuracy.mjs SOURCE TEXT [--bits 3,3.25,4,5] [--windows 48] [--json]
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatBytes, formatTable } from '../dist/cli/terminal.js'
import { evaluate, quantizeModel } from '../dist/index.js'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    bits: { type: 'string', default: '3,3.25,4,5' },
    windows: { type: 'string', default: '48' },
    json: { type: 'boolean', default: false },
  },
})
const [source, textFile] = positionals
if (textFile === undefined) {
  console.error('usage: node bench/accuracy.mjs SOURCE TEXT [--bits 3,3.25,4,5] [--windows 48] [--json]')
  process.exit(2)
}
const text = await readFile(textFile, 'utf8')
const windows = Number(values.windows)
const folder = await mkdtemp(join(tmpdir(), 'pyramidion-accuracy-'))
const rows = []
try {
  for (const bits of values.bits.split(',').map(Number)) {
    const output = join(folder, String(bits))
    const quantized = await quantizeModel(source, { bits, output })
    const measured = await evaluate({ model: output, reference: source, text, windows })
    rows.push({ bits, ...quantized, ...measured, layers: undefined })
    await rm(output, { recursive: true })
    if (!values.json) console.error(`${bits} bits: KL ${measured.klDivergence.mean.toFixed(4)}`)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

if (values.json) {
  console.log(JSON.stringify(rows))
} else {
  const header = [
    'bits',
    'stored',
    'file',
    'perplexity',
    'KL mean',
    'KL median',
    'KL p99',
    'same top',
    'seconds',
    'peak memory',
  ]
  console.log(
    formatTable(
      header,
      rows.map(row => [
        String(row.bits),
        row.linearBitsPerWeight.toFixed(3),
        formatBytes(row.bytes),
        row.perplexity.toFixed(2),
        row.klDivergence.mean.toFixed(4),
        row.klDivergence.median.toFixed(4),
        row.klDivergence.p99.toFixed(3),
        `${(row.topAgreement * 100).toFixed(1)} %`,
        row.seconds.toFixed(1),
        formatBytes(row.peakMemoryBytes),
      ]),
    ),
  )
  console.log(
    `unquantized: perplexity ${rows[0].reference.perplexity.toFixed(2)}; ${windows} windows of 512; ${cpus()[0].model}, ${cpus().length} cores`,
  )
}
