// How many bits each kind of layer got, where the rates of one kind differ.
import type { LayerReport } from '../quantization/quantize-model.js'
import { formatTable } from './terminal.js'

/** A line for each kind of weight (`self_attn.q_proj`, ...), in the order in which they first come. */
export function ratesTable(layers: readonly LayerReport[]): string {
  const kinds = new Map<string, LayerReport[]>()
  for (const layer of layers) {
    const kind = layer.name.replace(/^model\.(layers\.\d+\.)?/, '').replace(/\.weight$/, '')
    kinds.set(kind, [...(kinds.get(kind) ?? []), layer])
  }
  const rows = [...kinds].map(([kind, members]) => {
    const rates = members.map(({ bitsPerWeight }) => bitsPerWeight).sort((a, b) => a - b)
    const [least, median, most] = [rates[0], medianOf(rates), rates[rates.length - 1]].map(rate => rate.toFixed(3))
    return [kind, String(members.length), least, median, most]
  })
  return formatTable(['bits a weight', 'count', 'least', 'median', 'most'], rows)
}

/** Of sorted numbers. */
function medianOf(sorted: readonly number[]): number {
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
