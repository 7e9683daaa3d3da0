/** Gain levels depend on (D, K, L), the lattice and the length of the row only; computed once each. */
import { native, type PvqSegment } from '../native.js'
import type { SegmentShape } from './pvq-code.js'

const cache = new Map<string, Float32Array>()
const CACHE_ENTRIES = 256

function gainLevels({ dimension, pulses, levels, lattice }: SegmentShape, rowLength: number): Float32Array {
  const key = `${dimension}:${pulses}:${levels}:${rowLength}:${lattice ?? 'integer'}`
  let values = cache.get(key)
  if (values === undefined) {
    values = native.pvqGainLevels(dimension, pulses, levels, rowLength, lattice)
    const [oldest] = cache.keys()
    if (cache.size >= CACHE_ENTRIES) cache.delete(oldest)
    cache.set(key, values)
  }
  return values
}

/** The segments of rows of `rowLength` weights, with the Lloyd-Max levels of a Gaussian row of unit mean square. */
export function pvqSegments(shapes: SegmentShape[], rowLength: number): PvqSegment[] {
  return shapes.map(shape => ({ ...shape, levels: gainLevels(shape, rowLength).slice() }))
}
