/** Mean and percentiles of a sample. */

export interface Distribution {
  mean: number
  median: number
  /** 99th percentile. */
  p99: number
}

/** Percentiles are interpolated linearly between the sorted values, as numpy does by default. */
export function distribution(values: Float64Array): Distribution {
  const sorted = values.slice().sort()
  return { mean: mean(values), median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
}

export function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1)
  const below = Math.floor(position)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (position - below) * (sorted[above] - sorted[below])
}
