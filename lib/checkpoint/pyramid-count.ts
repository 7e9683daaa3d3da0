/**
 * How many points a pyramid has, exactly, for settings that nobody has checked yet: the points of a lattice with
 * sum |p_i| = K, of which a code holds the number of one.
 */
import type { Lattice } from '../native.js'

export interface PyramidShape {
  dimension: number
  pulses: number
  /** Default `integer`. */
  lattice?: Lattice
}

/** The dimension and the pulses that Barnes-Wall pyramids have; beyond the largest a code would not fit 64 bits. */
export const barnesWall = { dimension: 16, leastPulses: 8, mostPulses: 98 }

export function isBarnesWallPulses(pulses: number): boolean {
  return (
    Number.isInteger(pulses) && pulses % 2 === 0 && pulses >= barnesWall.leastPulses && pulses <= barnesWall.mostPulses
  )
}

export function pyramidCount({ dimension, pulses, lattice }: PyramidShape): bigint {
  return lattice === 'barnes-wall' ? barnesWallCount(pulses) : integerCount(dimension, pulses)
}

/** N(D,K) = sum_i 2^i C(D,i) C(K-1,i-1): choose the i coordinates that are not zero, their signs, and their sizes. */
function integerCount(dimension: number, pulses: number): bigint {
  let total = 0n
  let choices = 1n
  let compositions = 1n
  for (let i = 1; i <= Math.min(dimension, pulses); ++i) {
    choices = (choices * BigInt(dimension - i + 1)) / BigInt(i)
    total += (choices * compositions) << BigInt(i)
    compositions = (compositions * BigInt(pulses - i)) / BigInt(i)
  }
  return pulses === 0 ? 1n : total
}

/** C(k+d-1, d-1): d integers not below zero that sum to k. */
function compositionCount(parts: number, sum: number): bigint {
  let count = 1n
  for (let i = 1; i < parts; ++i) count = (count * BigInt(sum + i)) / BigInt(i)
  return count
}

/**
 * By the residues mod 2 of a point: all even; eight odd coordinates in one of 30 ways, of magnitudes 2 c_i + 1, and eight even
 * ones; all odd. The condition on the sum leaves all but one of the odd coordinates' signs free.
 */
function barnesWallCount(pulses: number): bigint {
  let total = pulses % 4 === 0 ? integerCount(16, pulses / 2) : 0n
  for (let odd = 8; odd <= pulses; odd += 2) {
    total += (30n << 7n) * compositionCount(8, (odd - 8) / 2) * integerCount(8, (pulses - odd) / 2)
  }
  return pulses < 16 ? total : total + (compositionCount(16, (pulses - 16) / 2) << 15n)
}
