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

/** A figure of every layer, in one step or several: properties of the layer's entry, and what each is called. */
interface Measure {
  title: string
  unit: string
  explanation: string
  baseline: Baseline
  /** Digits after the point; four significant ones where it is absent. */
  decimals?: number
  steps: { property: string; label: string }[]
}

const measures: Measure[] = [
  {
    title: 'Bits a weight',
    unit: 'bits a weight',
    explanation: 'Everything stored for the layer: codes, scales, gain levels, low-rank factors.',
    baseline: 'data',
    decimals: 3,
    steps: [{ property: 'bitsPerWeight', label: 'stored' }],
  },
  {
    title: 'Error of the weights',
    unit: 'squared error / squared weights',
    explanation: 'Sum of the squared errors of the weights over the sum of their squares.',
    baseline: 'ratio',
    steps: [{ property: 'relativeSquaredError', label: 'stored' }],
  },
  {
    title: 'Error of the outputs',
    unit: 'squared error / squared outputs',
    explanation: "Expected squared error of the layer's outputs over the calibration text, relative to the outputs.",
    baseline: 'ratio',
    steps: [
      { property: 'nearestOutputError', label: 'plain rounding' },
      { property: 'outputError', label: 'as stored' },
    ],
  },
  {
    title: 'Expected loss',
    unit: 'nats a token',
    explanation: "What the layer's error is expected to add to the model's divergence.",
    baseline: 'ratio',
    steps: [{ property: 'expectedLoss', label: 'as stored' }],
  },
  {
    title: 'Rank of the correction',
    unit: 'rank',
    explanation: 'Of the low-rank correction that was kept; 0 for none.',
    baseline: 'zero',
    decimals: 0,
    steps: [{ property: 'rank', label: 'kept' }],
  },
  {
    title: 'Time',
    unit: 'seconds',
    explanation: 'From reading the layer to its codes, in the run that made it. Calibration comes on top.',
    baseline: 'zero',
    decimals: 2,
    steps: [{ property: 'seconds', label: 'spent' }],
  },
]

export function reportPage(report: QuantizationReport): string {
  const { model, date, packageVersion, layers } = report
  const held = measuresOf(layers)
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
${held.map(measure => section(measure, layers)).join('\n')}
${table(held, layers)}
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
    .map(([name, value]): [string, string] => [
      words(name),
      typeof value === 'object' ? JSON.stringify(value) : String(value),
    ])
    .filter(([, value]) => value !== 'undefined' && value !== '{}')
}

function definitions(kind: string, entries: [string, string][]): string {
  const items = entries.map(([term, value]) => `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(value)}</dd></div>`)
  return `<dl class="${kind}">${items.join('')}</dl>`
}

/** The measures that the report holds, without those that are zero everywhere, and one more for each number unknown here. */
function measuresOf(layers: LayerReport[]): Measure[] {
  const holds = (property: string) => layers.some(layer => figureOf(layer, property))
  const known = new Set([
    'name',
    'rows',
    'columns',
    ...measures.flatMap(({ steps }) => steps.map(step => step.property)),
  ])
  const others = [...new Set(layers.flatMap(layer => Object.keys(layer)))].filter(property => !known.has(property))
  return [
    ...measures,
    ...others.map(property => ({
      title: words(property),
      unit: words(property),
      explanation: '',
      baseline: 'ratio' as const,
      steps: [{ property, label: '' }],
    })),
  ]
    .map(measure => ({ ...measure, steps: measure.steps.filter(({ property }) => holds(property)) }))
    .filter(({ steps }) => steps.length > 0)
}

function figureOf(layer: LayerReport, property: string): number | undefined {
  const figure = (layer as unknown as Record<string, unknown>)[property]
  return typeof figure === 'number' && Number.isFinite(figure) ? figure : undefined
}

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

function section({ title, unit, explanation, baseline, decimals, steps }: Measure, layers: LayerReport[]): string {
  const placed = layers.flatMap(layer => {
    const place = placeOf(layer.name)
    return place ? [{ ...place, layer }] : []
  })
  const values = placed.flatMap(({ layer }) => steps.flatMap(({ property }) => figureOf(layer, property) ?? []))
  if (values.length === 0) return ''
  const several = steps.length > 1
  const axis = axisFor(values, baseline)
  const lastX = placed.reduce((last, { block }) => Math.max(last, block), 0)
  const projections = [...new Set(placed.map(({ projection }) => projection))]
  const charts = projections.map(projection => {
    const series = steps.map(({ property, label }) => ({
      label: several ? label : '',
      points: placed.flatMap(({ block, projection: own, layer }) => {
        const y = own === projection ? figureOf(layer, property) : undefined
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
      tooltip: (label, x, y) => `block ${x}${label && `, ${label}`}: ${figureText(y, decimals)} ${unit}`,
    })
    return `<figure><figcaption>${escapeHtml(projection)}</figcaption>${svg}</figure>`
  })
  const key = several ? legend(steps.map(({ label }) => label)) : ''
  return `<section><h2>${escapeHtml(title)}</h2><p>${escapeHtml(explanation)}</p>${key}
<div class="charts" tabindex="0">${charts.join('\n')}</div></section>`
}

function table(measures: Measure[], layers: LayerReport[]): string {
  const columns = measures.flatMap(({ title, decimals, steps }) =>
    steps.map(({ property, label }) => ({
      title: steps.length > 1 ? `${title}, ${label}` : title,
      property,
      decimals,
    })),
  )
  const header = ['Layer', 'Shape', ...columns.map(({ title }) => title)].map(
    title => `<th scope="col"><button type="button">${escapeHtml(title)}</button></th>`,
  )
  const rows = layers.map((layer, index) => {
    const cells = columns.map(({ property, decimals }) => {
      const figure = figureOf(layer, property)
      return `<td data-key="${figure ?? -1}">${figure === undefined ? '' : figureText(figure, decimals)}</td>`
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

function figureText(value: number, decimals?: number): string {
  if (decimals !== undefined) return value.toFixed(decimals)
  return value === 0 || (value >= 1e-3 && value < 1e4) ? value.toPrecision(4) : formatNumber(value)
}

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
