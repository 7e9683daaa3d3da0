// Seeded normal variates for tests: a failure prints the seed, and the seed gives the same numbers again.
import type { RandomSource } from '../../dist/model/random-source.js'

/** `length` values of mean `mean` and standard deviation `deviation` (Box-Muller). */
export function randomNormal(random: RandomSource, length: number, deviation = 1, mean = 0): Float32Array {
  return Float32Array.from({ length }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()))
    return mean + deviation * radius * Math.cos(2 * Math.PI * random.next())
  })
}

/** Whole numbers from 0 to below - 1. */
export function randomIds(random: RandomSource, length: number, below: number): Int32Array {
  return Int32Array.from({ length }, () => Math.floor(random.next() * below))
}
