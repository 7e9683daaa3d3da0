// A run as tables for people: { title, header, rows }, the same on a terminal and in docs/performance.md.
import { targetRows } from './rows.mjs'

export function tablesOf(comparisons, limits, only) {
  const inGroup = name => comparisons.filter(({ group }) => group === name)
  return [
    targetTable(comparisons, only),
    ...layerTables(inGroup('layers'), limits),
    modelTable('Random model, 4096 wide, 4 layers', inGroup('random-models')),
    modelTable('The given model', inGroup('given-model')),
    encodeTable('Encoding, plain', inGroup('encode-plain')),
    encodeTable('Encoding, calibrated', inGroup('encode-calibrated')),
  ].filter(({ rows }) => rows.length > 0)
}

function targetTable(comparisons, only) {
  const rows = targetRows(comparisons, only)
  // The best peer of each name is last.
  const bests = rows.filter(({ name, peer }, i) => rows[i + 1]?.name !== name || peer === null)
  return {
    title: 'Against the best peer',
    header: ['', 'layout', 'bits in memory', 'rate', 'best peer', 'its rate', 'ratio'],
    rows: bests.map(({ name, layout, bitsInMemory, rate, peer, peerRate, ratio }) => [
      name,
      layout ?? '',
      fixed(bitsInMemory, 2),
      scaled(rate),
      peer ?? 'not installed',
      scaled(peerRate),
      fixed(ratio, 2),
    ]),
  }
}

/** One table for each shape, number of threads and temperature. */
function layerTables(comparisons, limits) {
  const tables = new Map()
  for (const comparison of comparisons) {
    const { rows, columns, threads, work } = comparison
    const title = `Layer ${rows} x ${columns}, threads: ${threads}, ${work.cold ? 'cold' : 'cached'}`
    tables.set(title, [...(tables.get(title) ?? []), comparison])
  }
  return [...tables].map(([title, all]) => ({
    title: `${title}; 10^9 weight multiplications a second`,
    header: ['', 'bits in memory', ...all.flatMap(({ work }) => [count(work.tokens), shareName(work)]).filter(Boolean)],
    rows: all[0].results.map(({ name, bits, settings }) => [
      name,
      fixed(bits, 2),
      ...all.flatMap(({ work, threads, results }) => {
        const result = results.find(each => each.name === name)
        const cells = [scaled(result?.rate)]
        if (shareName(work)) cells.push(share(result, work, limits[threads], settings))
        return cells
      }),
    ]),
  }))
}

const count = tokens => (tokens === 1 ? '1 token' : `${tokens} tokens`)
const shareName = ({ tokens }) => ({ 1: 'of read bandwidth', 512: 'of matrix peak' })[tokens]

function share(result, { tokens }, limit, settings) {
  if (limit === undefined || result === undefined) return ''
  if (tokens === 1 && result.bits === undefined) return ''
  if (tokens === 1) return percent((result.rate * result.bits) / 8 / limit.readBandwidth)
  return percent(result.rate / (settings.bits === 32 ? limit.floatProducts : limit.byteProducts))
}

function modelTable(title, comparisons) {
  const columns = comparisons.map(({ work }) => `${work.phase} (${work.tokens} tokens), tokens/s`)
  const rows = (comparisons[0]?.results ?? []).map(({ name, memory }) => [
    name,
    ...comparisons.map(({ results }) => fixed(results.find(each => each.name === name)?.rate, 1)),
    Math.round(memory / 2 ** 20).toString(),
  ])
  return { title: `${title}, threads: ${comparisons[0]?.threads}`, header: ['', ...columns, 'resident MiB'], rows }
}

function encodeTable(title, comparisons) {
  const rows = comparisons.flatMap(({ results }) => results.map(({ name, rate }) => [name, fixed(rate / 1e6, 2)]))
  return { title, header: ['', '10^6 weights/s a thread'], rows }
}

const fixed = (value, digits) => (value == null ? '' : value.toFixed(digits))
const percent = value => `${(100 * value).toFixed(0)} %`

/** Billions where it is billions, millions where it is millions. */
function scaled(value) {
  if (value == null) return ''
  if (value >= 1e8) return `${(value / 1e9).toFixed(2)} G`
  if (value >= 1e5) return `${(value / 1e6).toFixed(2)} M`
  return value.toFixed(1)
}

export function markdownTable({ header, rows }) {
  const line = cells => `| ${cells.join(' | ')} |`
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n')
}
