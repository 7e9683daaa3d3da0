// docs/accuracy.md from finished cells.
import { formatBytes } from '../../dist/format-bytes.js'
import { ablationRates, ablations, inputs, methods, rates } from './methods.mjs'
import { peers } from './peers.mjs'
import { pilot } from './pilot.mjs'

/**
 * subjects: [{ name, calibrationName, textName, windows }]; cellOf(subject, method, bits): the finished cell, if any;
 * command: how to make the document again.
 */
export function accuracyDocument(subjects, cellOf, command) {
  return `# Accuracy

What quantization does to the predictions of real models, at equal sizes: each rate is bits a weight of the linear layers with everything
stored for them counted, and every method gets the same. KL is the divergence from the unquantized model in nats a token, mean over the scored
tokens of the text unless it says otherwise, in llama.cpp's convention (windows of 512, the second half of each scored). The embedding keeps its precision.
Processor seconds are those of quantization, without what is measured once a model and text on the original (sensitivity).

This page is written by a program from cells that it measures, or finds in \`bench/accuracy/results.json\`:

    ${command}

${subjects.map(subject => section(subject, cellOf)).join('\n')}`
}

function section(subject, cellOf) {
  const find = (method, bits) => cellOf(subject, method, bits)
  const cells = [...methods, ...ablations, inputs].flatMap(method =>
    [...new Set([...rates, ...ablationRates])].flatMap(bits => find(method, bits) ?? []),
  )
  if (cells.length === 0) return `## ${subject.name}\n\nNothing measured yet.\n`
  const parts = [
    `## ${subject.name}`,
    `Evaluated on \`${subject.textName}\`, ${cells[0].tokens} tokens scored in ${subject.windows} windows; calibrated, where a method is, on ` +
      `\`${subject.calibrationName}\`. Unquantized, its perplexity is ${cells[0].referencePerplexity.toFixed(2)}. ${provenance(cells)}`,
    '### KL by method and rate',
    divergences(find),
    ...peerTable(subject),
    ...rates.flatMap(bits => details(bits, find)),
    ...ablationRates.flatMap(bits => ablation(bits, find)),
    ...inputsTable(find),
    ...pilotTable(subject, find),
  ]
  return `${parts.join('\n\n')}\n`
}

function provenance(cells) {
  const span = values => {
    const sorted = [...new Set(values)].sort()
    return sorted.length > 1 ? `${sorted[0]} to ${sorted.at(-1)}` : sorted[0]
  }
  const processors = [...new Set(cells.map(({ processor }) => processor))].join('; ')
  const commits = [...new Set(cells.flatMap(({ commit }) => commit ?? []))].map(commit => `\`${commit}\``).join(', ')
  return `Measured ${span(cells.map(({ date }) => date.slice(0, 10)))} at ${commits || 'a commit unknown'} on ${processors}.`
}

function divergences(find) {
  const rows = methods.map(method => [method.name, ...rates.map(bits => divergence(find(method, bits), bits))])
  return table(['method', ...rates.map(bits => `${bits} bits`)], rows.filter(measuredAnywhere))
}

/** A method whose settings do not reach the rate says which one it has. */
function divergence(cell, bits) {
  if (cell === undefined) return ''
  const off = Math.abs(cell.linearBitsPerWeight - bits) > 0.01
  return `${cell.klDivergence.mean.toFixed(4)}${off ? ` (at ${cell.linearBitsPerWeight.toFixed(2)})` : ''}`
}

const measuredAnywhere = ([, ...figures]) => figures.some(figure => figure !== '')

function details(bits, find) {
  const rows = methods.flatMap(({ name, settings }) => {
    const cell = find({ name, settings }, bits)
    return cell === undefined ? [] : [[name, ...figures(cell)]]
  })
  return rows.length === 0 ? [] : [`### ${bits} bits`, table(['method', ...figureNames], rows)]
}

const predictionNames = ['KL mean', 'KL median', 'KL p99', 'perplexity', 'same top token']
const figureNames = ['bits, linear layers', 'bits, all', 'file', ...predictionNames, 'processor seconds', 'peak memory']

function figures(cell) {
  const { processorSeconds, peakMemoryBytes } = cell
  return [
    cell.linearBitsPerWeight.toFixed(3),
    cell.bitsPerWeight.toFixed(3),
    formatBytes(cell.bytes),
    ...predictions(cell),
    processorSeconds === undefined ? '' : processorSeconds.toFixed(processorSeconds < 10 ? 1 : 0),
    peakMemoryBytes === undefined ? '' : formatBytes(peakMemoryBytes),
  ]
}

function predictions({ klDivergence, perplexity, topAgreement }) {
  return [
    klDivergence.mean.toFixed(4),
    klDivergence.median.toFixed(4),
    klDivergence.p99.toFixed(3),
    perplexity.toFixed(2),
    `${(100 * topAgreement).toFixed(1)} %`,
  ]
}

function ablation(bits, find) {
  const whole = find(methods.at(-1), bits)
  if (whole === undefined) return []
  const rows = [methods.at(-1), ...ablations].flatMap(({ name, settings }) => {
    const cell = find({ name, settings }, bits)
    if (cell === undefined) return []
    const change = cell.klDivergence.mean / whole.klDivergence.mean - 1
    const [rate, , , ...rest] = figures(cell)
    return [[name, rate, `${change < 0 ? '' : '+'}${(100 * change).toFixed(1)} %`, ...rest]]
  })
  if (rows.length === 1) return []
  const [rate, , , ...rest] = figureNames
  const scatter =
    'Seeds, and last bits of sums on another processor, move such a KL by 2 to 3 % either way: differences below 5 % say little.'
  return [`### Each part off in turn, ${bits} bits`, scatter, table(['method', rate, 'KL, to full', ...rest], rows)]
}

function inputsTable(find) {
  const cell = find(inputs, inputs.bits)
  if (cell === undefined) return []
  const rows = cell.byActivations.map(({ format, ...measured }) => [...inputFormat(format), ...predictions(measured)])
  const what =
    '`PVQ, guided`, with what its linear layers take rounded as `activations` of `loadModel` and `evaluate` says: `int8` with a scale a token (the head ' +
    'is then kept in int8, too), MXINT with an exponent for 16 values, PVQ as a row of weights is coded. The model was quantized without heed of it.'
  return [
    `### Inputs of layers rounded, ${inputs.bits} bits`,
    what,
    table(['inputs', 'bits an input', ...predictionNames], rows),
  ]
}

/** Its name, and bits but for what a token has once. */
function inputFormat(format) {
  if (typeof format === 'object') return [`PVQ, ${format.bits} bits`, String(format.bits)]
  if (format === 'float') return [format, '32']
  const bits = Number(/\d+/.exec(format)[0])
  return [format, String(format.startsWith('mxint') ? bits + 0.5 : bits)]
}

function pilotTable({ name }, find) {
  if (!pilot.model.test(name)) return []
  const rows = pilot.rows.flatMap(row => {
    const cell = find(row, row.bits)
    if (cell === undefined) return []
    const { mean } = cell.klDivergence
    const change = `${mean < row.divergence ? '' : '+'}${(100 * (mean / row.divergence - 1)).toFixed(1)} %`
    return [[row.name.replace('pilot: ', ''), String(row.bits), String(row.divergence), mean.toFixed(4), change]]
  })
  const what =
    'What the design began with, simulated, and this library with the same parts on and as many calibration tokens (32,768), no sweeps. ' +
    "Rates of the pilot leave out the row scales' 0.02 bits."
  return rows.length === 0
    ? []
    : ['### The pilot, repeated', what, table(['method', 'bits', 'pilot', 'KL', 'change'], rows)]
}

function peerTable({ name, textName, windows }) {
  return peers
    .filter(peer => peer.model.test(name) && peer.text === textName && peer.windows === windows)
    .flatMap(({ source, figures }) => [
      `Peers, on the same text and windows, quoted and not measured by this program (${source}):`,
      table(
        ['program', 'type', 'bits', 'KL'],
        figures.map(({ program, type, bits, divergence }) => [program, type, bits.toFixed(2), String(divergence)]),
      ),
    ])
}

/** The first column to the left, the others to the right. */
function table(header, rows) {
  const line = cells => `| ${cells.join(' | ')} |`
  return [line(header), line(header.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
