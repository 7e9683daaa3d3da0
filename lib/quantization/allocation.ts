/**
 * Distributes a budget of bits over tensors so that the sum of their expected losses is least. A tensor loses
 * `coefficient * error`, where the error falls with the rate; at the optimum every tensor gains as much from its next bit
 * (reverse water-filling: with error ~ 4^-rate, a coefficient twice as large earns half a bit a weight more).
 */
import { PyramidionError } from '../errors.js'

/** One way to store a tensor. */
export interface RatePoint {
  /** Everything stored, in bits. */
  bits: number
  /** Expected error, relative. */
  error: number
}

export interface AllocationItem {
  /** Expected loss at a relative error of 1; 0 or more. */
  coefficient: number
  /** By increasing bits and falling error; at least one. */
  points: readonly RatePoint[]
}

/** From one point of an item's lower hull to the next. */
interface Step {
  item: number
  /** Steps of the same item before it. */
  position: number
  /** Index of the point it leads to. */
  point: number
  bits: number
  /** Loss saved a bit. */
  slope: number
}

/**
 * The point of each item, as indices, with at most `budget` bits in all. Steps along the lower hulls are taken by falling
 * slope, which is optimal for what they spend; equal slopes are served in turn, so that equal items get equal rates. What is
 * left is spent on the best points that fit. The same input gives the same result.
 *
 * @throws RATE_OUT_OF_RANGE when even the smallest points take more.
 */
export function allocate(items: readonly AllocationItem[], budget: number): number[] {
  const least = items.reduce((sum, { points }) => sum + points[0].bits, 0)
  if (least > budget) {
    throw new PyramidionError('RATE_OUT_OF_RANGE', `at least ${least} bits are needed, got ${budget}`)
  }
  const chosen = items.map(() => 0)
  let left = budget - least
  const steps = items.flatMap((item, i) => hullSteps(item, i))
  steps.sort((a, b) => b.slope - a.slope || a.position - b.position || a.item - b.item)
  const stopped = new Set<number>()
  for (const { item, point, bits } of steps) {
    if (stopped.has(item)) continue
    if (bits > left) stopped.add(item)
    else {
      chosen[item] = point
      left -= bits
    }
  }
  spendRest(items, chosen, left)
  return chosen
}

/** The lower convex hull of the points, from the first on, as steps of strictly falling slope. */
function hullSteps({ coefficient, points }: AllocationItem, item: number): Step[] {
  const slope = (from: number, to: number) =>
    (points[from].error - points[to].error) / (points[to].bits - points[from].bits)
  const hull = [0]
  for (let point = 1; point < points.length; point++) {
    while (hull.length > 1 && slope(hull.at(-2)!, hull.at(-1)!) <= slope(hull.at(-1)!, point)) hull.pop()
    hull.push(point)
  }
  return hull.slice(1).map((point, position) => ({
    item,
    position,
    point,
    bits: points[point].bits - points[hull[position]].bits,
    slope: coefficient * slope(hull[position], point),
  }))
}

/** Moves single items to better points, the largest gain first, until nothing fits. */
function spendRest(items: readonly AllocationItem[], chosen: number[], rest: number): void {
  for (let left = rest; ; ) {
    let best = { item: -1, point: 0, gain: -1 }
    for (const [item, { coefficient, points }] of items.entries()) {
      const from = points[chosen[item]]
      // Errors fall, so the last point that fits is the best of this item.
      let point = chosen[item]
      while (point + 1 < points.length && points[point + 1].bits - from.bits <= left) point++
      const gain = coefficient * (from.error - points[point].error)
      if (point > chosen[item] && gain > best.gain) best = { item, point, gain }
    }
    if (best.item < 0) return
    left -= items[best.item].points[best.point].bits - items[best.item].points[chosen[best.item]].bits
    chosen[best.item] = best.point
  }
}
