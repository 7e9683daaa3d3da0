/**
 * The page to look at of a quantization report: one HTML file that loads nothing. Each figure of a layer that the report
 * holds, those of later versions included, gets a row of charts (one a projection, over the blocks) and a column of the table.
 */
import { createHash } from 'node:crypto'
import { formatBytes } from '../format-bytes.js'
import type { LayerReport } from './quantize-model.js'
import type { QuantizationReport } from './report.js'
import { axisFor, type Baseline, chart, escapeHtml, formatNumber, legend } from './report-chart.js'
import { reportScript } from './report-script.js'
import { reportStyle } from './report-style.js'

/** A figure of every layer; of each of its steps where the report gives it for several. */
interface Measure {
  title: string
  unit: string
  explanation: string
  baseline: Baseline
  steps: { label: string; value: (layer: LayerReport) => number | undefined }[]
}

type Description = Omit<Measure, 'steps'>

/** By the name of the layer's property, in the order of the page. */
const descriptions: Record<string, Description> = {
  bitsPerWeight: {
    title: 'Bits a weight',
    unit: 'bits a weight',
    explanation: 'Everything stored for the layer: codes, scales, gain levels, low-rank factors.',
    baseline: 'data',
  },
  relativeSquaredError: {
    title: 'Error of the weights',
    unit: 'squared error / squared weights',
    explanation: 'Sum of the squared errors of the weights over the sum of their squares.',
    baseline: 'ratio',
  },
  outputError: {
    title: 'Error of the outputs',
    unit: 'relative squared error',
    explanation: "Expected squared error of the layer's outputs over calibration text, relative to the outputs.",
    baseline: 'ratio',
  },
  expectedLoss: {
    title: 'Expected loss',
    unit: 'nats a token',
    explanation: "What the layer's error is expected to add to the model's loss.",
    baseline: 'ratio',
  },
  rank: {
    title: 'Rank of the correction',
    unit: 'rank',
    explanation: 'Of the low-rank correction that was kept; 0 for none.',
    baseline: 'zero',
  },
  seconds: {
    title: 'Time',
    unit: 'seconds',
    explanation: 'From reading the layer to its codes, in the run that made it. Calibration comes on top.',
    baseline: 'zero',
  },
}

/** What the steps of a figure are called. */
const stepLabels: Record<string, string> = {
  nearest: 'plain rounding',
  guided: 'guided rounding',
  propagated: 'after propagation',
  lowRank: 'with correction',
}

export function reportPage(report: QuantizationReport): string {
  const { model, date, packageVersion, layers } = report
  const measures = measuresOf(layers)
  const title = `${model.name}, quantized`
  const policy = `default-src 'none'; style-src '${hash(reportStyle)}'; script-src '${hash(reportScript)}'`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(model.architecture)}, ${(model.parameters / 1e6).toFixed(1)} M parameters; pyramidion ${escapeHtml(packageVersion)}, ${escapeHtml(date.slice(0, 16).replace('T', ' '))} UTC</p>
${definitions('figures', totals(report))}
${definitions('settings', settings(report))}
${measures.map(measure => section(measure, layers)).join('\n')}
${table(measures, layers)}
</main>
<script>${reportScript}</script>
</body>
</html>
`
}

const hash = (text: string) => `sha256-${createHash('sha256').update(text).digest('base64')}`

function totals(report: QuantizationReport): [string, string][] {
  const layerSeconds = report.layers.reduce((sum, { seconds }) => sum + seconds, 0)
  return [
    ['Linear layers', `${report.linearBitsPerWeight.toFixed(3)} bits`],
    ['Whole model', `${report.bitsPerWeight.toFixed(3)} bits`],
    ['Size', formatBytes(report.bytes)],
    ['Time', duration(report.seconds)],
    // More than the time of a run that resumed.
    ['Time in layers', duration(layerSeconds)],
    ['Peak memory', formatBytes(report.peakMemoryBytes)],
  ]
}

function settings({ settings }: QuantizationReport): [string, string][] {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [words(name), typeof value === 'object' ? JSON.stringify(value) : String(value)])
}

function definitions(kind: string, entries: [string, string][]): string {
  const items = entries.map(([term, value]) => `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(value)}</dd></div>`)
  return `<dl class="${kind}">${items.join('')}</dl>`
}

/** Every property of the layers that is a number, or an object of numbers: one for each step. */
function measuresOf(layers: LayerReport[]): Measure[] {
  const others = new Set(layers.flatMap(layer => Object.keys(layer)))
  for (const name of ['name', 'rows', 'columns', ...Object.keys(descriptions)]) others.delete(name)
  const measures = [...Object.keys(descriptions), ...others].map(name => ({
    ...(descriptions[name] ?? { title: words(name), unit: words(name), explanation: '', baseline: 'ratio' as const }),
    steps: stepsOf(name, layers),
  }))
  return measures.filter(({ steps }) => steps.length > 0)
}

function stepsOf(name: string, layers: LayerReport[]): Measure['steps'] {
  const property = (layer: LayerReport) => (layer as unknown as Record<string, unknown>)[name]
  const value = (layer: LayerReport, step?: string) => {
    const found =
      step === undefined ? property(layer) : (property(layer) as Record<string, unknown> | undefined)?.[step]
    return typeof found === 'number' && Number.isFinite(found) ? found : undefined
  }
  if (layers.some(layer => value(layer))) return [{ label: '', value: layer => value(layer) }]
  const steps = new Set(layers.flatMap(layer => Object.keys(objectOf(property(layer)))))
  return [...steps]
    .filter(step => layers.some(layer => value(layer, step)))
    .map(step => ({ label: stepLabels[step] ?? words(step), value: layer => value(layer, step) }))
}

const objectOf = (value: unknown): object => (typeof value === 'object' && value !== null ? value : {})

/** `lowRank` as `low rank`. */
const words = (name: string): string => name.replace(/(?<=[a-z])([A-Z])/g, ' $1').toLowerCase()

interface Place {
  block: number
  projection: string
}

function placeOf(name: string): Place | undefined {
  const [, block, projection] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? []
  return block === undefined ? undefined : { block: Number(block), projection }
}

function section({ title, unit, explanation, baseline, steps }: Measure, layers: LayerReport[]): string {
  const placed = layers.flatMap(layer => {
    const place = placeOf(layer.name)
    return place ? [{ ...place, layer }] : []
  })
  const values = placed.flatMap(({ layer }) => steps.flatMap(({ value }) => value(layer) ?? []))
  if (values.length === 0) return ''
  const axis = axisFor(values, baseline)
  const lastX = placed.reduce((last, { block }) => Math.max(last, block), 0)
  const projections = [...new Set(placed.map(({ projection }) => projection))]
  const charts = projections.map(projection => {
    const series = steps.map(({ label, value }) => ({
      label,
      points: placed.flatMap(({ block, projection: own, layer }) => {
        const y = own === projection ? value(layer) : undefined
        return y === undefined ? [] : [{ x: block, y }]
      }),
    }))
    const svg = chart({
      title: `${title}, ${projection}, by block`,
      xLabel: 'block',
      yLabel: unit,
      lastX,
      axis,
      series,
      tooltip: (label, x, y) => `block ${x}${label && `, ${label}`}: ${formatNumber(y)} ${unit}`,
    })
    return `<figure><figcaption>${escapeHtml(projection)}</figcaption>${svg}</figure>`
  })
  const key = steps.length > 1 ? legend(steps.map(({ label }) => label)) : ''
  return `<section><h2>${escapeHtml(title)}</h2><p>${escapeHtml(explanation)}</p>${key}
<div class="charts" tabindex="0">${charts.join('\n')}</div></section>`
}

function table(measures: Measure[], layers: LayerReport[]): string {
  const columns = measures.flatMap(({ title, steps }) =>
    steps.map(({ label, value }) => ({ title: label ? `${title}, ${label}` : title, value })),
  )
  const header = ['Layer', 'Shape', ...columns.map(({ title }) => title)].map(
    title => `<th scope="col"><button type="button">${escapeHtml(title)}</button></th>`,
  )
  const rows = layers.map((layer, index) => {
    const cells = columns.map(({ value }) => {
      const figure = value(layer)
      return `<td data-key="${figure ?? -1}">${figure === undefined ? '' : formatNumber(figure)}</td>`
    })
    const { name, rows, columns: width } = layer
    return (
      `<tr><th scope="row" data-key="${index}" title="${escapeHtml(name)}">${escapeHtml(name.replace(/\.weight$/, ''))}</th>` +
      `<td data-key="${rows * width}">${rows} × ${width}</td>${cells.join('')}</tr>`
    )
  })
  return `<section><h2>Layers</h2><p>In the order of computation; a click on a title sorts.</p>
<div class="layers" tabindex="0"><table><thead><tr>${header.join('')}</tr></thead><tbody>
${rows.join('\n')}
</tbody></table></div></section>`
}

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
