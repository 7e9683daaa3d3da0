/**
 * Line charts as SVG text, small enough to stand beside each other: one series a colour and a marker, so that neither is
 * needed to tell them apart. Colours come from the page's style (`.series-0`, ...).
 */

export interface Series {
  label: string
  points: { x: number; y: number }[]
}

/** Where values lie on the vertical axis. */
export interface Axis {
  ticks: { value: number; label: string }[]
  /** 0 at the bottom, 1 at the top; undefined for what a logarithm cannot show. */
  position(value: number): number | undefined
}

/** `zero`: from zero. `data`: around the values. `ratio`: a logarithm where the values differ by a factor of 20 or more, else from zero. */
export type Baseline = 'zero' | 'data' | 'ratio'

const WIDTH = 320
const HEIGHT = 188
const PLOT = { left: 46, right: WIDTH - 10, top: 26, bottom: HEIGHT - 20 }

/** An axis for these values, with some four ticks. */
export function axisFor(values: number[], baseline: Baseline): Axis {
  const positive = values.filter(value => value > 0)
  const [least, most] = [Math.min(...positive), Math.max(...positive)]
  if (baseline === 'ratio' && most / least >= 20) return logarithmic(least, most)
  const low = baseline === 'data' ? Math.min(...values) : Math.min(0, ...values)
  const high = Math.max(...values)
  // Values that are nearly equal are shown as such, not with their noise enlarged.
  const margin = Math.max(0, 0.02 * Math.abs(high) - (high - low)) || (high === low ? 1 : 0)
  return linear(low - (baseline === 'data' ? margin : 0), high + margin)
}

function linear(low: number, high: number): Axis {
  const rough = (high - low) / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find(each => each * power >= rough) ?? 10)
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)]
  const decimals = Math.max(0, -Math.floor(Math.log10(step)))
  const tick = (value: number) => ({ value, label: decimals > 4 ? formatNumber(value) : value.toFixed(decimals) })
  return {
    ticks: Array.from({ length: last - first + 1 }, (_, i) => tick((first + i) * step)),
    position: value => (value / step - first) / (last - first),
  }
}

function logarithmic(low: number, high: number): Axis {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))]
  const every = Math.ceil((last - first) / 5)
  const ticks = []
  for (let decade = first; decade <= last; decade += every)
    ticks.push({ value: 10 ** decade, label: formatNumber(10 ** decade) })
  return {
    ticks,
    position: value => (value > 0 ? (Math.log10(value) - first) / (last - first) : undefined),
  }
}

/** One chart: `series` over whole numbers from 0 to `lastX`. `tooltip` says what a point is. */
export function chart(options: {
  title: string
  xLabel: string
  yLabel: string
  lastX: number
  axis: Axis
  series: Series[]
  tooltip: (label: string, x: number, y: number) => string
}): string {
  const { title, xLabel, yLabel, lastX, axis, series, tooltip } = options
  const left = (x: number) => round(PLOT.left + ((x + 0.5) / (lastX + 1)) * (PLOT.right - PLOT.left))
  const top = (share: number) => round(PLOT.bottom - share * (PLOT.bottom - PLOT.top))
  const grid = axis.ticks.map(({ value, label }) => {
    const y = top(axis.position(value) ?? 0)
    return (
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y}" y2="${y}"/>` +
      `<text x="${PLOT.left - 6}" y="${y + 3.5}" text-anchor="end">${label}</text>`
    )
  })
  const every = [1, 2, 5, 10, 20, 50, 100].find(step => lastX / step <= 8) ?? 200
  const numbers = []
  for (let x = 0; x <= lastX; x += every) {
    numbers.push(`<text x="${left(x)}" y="${PLOT.bottom + 16}" text-anchor="middle">${x}</text>`)
  }
  const lines = series.map(({ label, points }, index) => {
    const placed = points.flatMap(({ x, y }) => {
      const share = axis.position(y)
      return share === undefined ? [] : [{ x: left(x), y: top(share), title: tooltip(label, x, y) }]
    })
    const path = placed.map(({ x, y }) => `${x},${y}`).join(' ')
    const dots = placed.map(
      point =>
        `<path class="mark" d="${marker(index, point.x, point.y)}"><title>${escapeHtml(point.title)}</title></path>`,
    )
    return `<g class="series-${index}"><polyline points="${path}"/>${dots.join('')}</g>`
  })
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">` +
    `<text x="2" y="12">${escapeHtml(yLabel)}</text>` +
    `<text x="${PLOT.left - 6}" y="${PLOT.bottom + 16}" text-anchor="end">${escapeHtml(xLabel)}</text>` +
    `${grid.join('')}${numbers.join('')}${lines.join('')}</svg>`
  )
}

/** A key to the series by colour and marker. */
export function legend(labels: string[]): string {
  const items = labels.map(
    (label, index) =>
      `<li><svg viewBox="0 0 24 12" aria-hidden="true"><g class="series-${index}"><polyline points="1,6 23,6"/>` +
      `<path class="mark" d="${marker(index, 12, 6)}"/></g></svg>${escapeHtml(label)}</li>`,
  )
  return `<ul class="legend">${items.join('')}</ul>`
}

/** A circle, a square, a triangle, a diamond, and again. */
function marker(index: number, x: number, y: number): string {
  switch (index % 4) {
    case 0:
      return `M${round(x - 3)},${y}a3,3 0 1 0 6,0a3,3 0 1 0 -6,0z`
    case 1:
      return `M${round(x - 2.7)},${round(y - 2.7)}h5.4v5.4h-5.4z`
    case 2:
      return `M${x},${round(y - 3.6)}l3.6,6.4h-7.2z`
    default:
      return `M${x},${round(y - 3.8)}l3.8,3.8l-3.8,3.8l-3.8,-3.8z`
  }
}

const round = (value: number): number => Math.round(value * 10) / 10

/** Three significant digits, an exponent where zeros would be many. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value)
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e6)) {
    return value.toExponential(2).replace(/\.?0*e\+?/, 'e')
  }
  return String(Number(value.toPrecision(magnitude >= 100 ? 6 : 4)))
}

/** Text and attribute values of HTML and SVG. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
