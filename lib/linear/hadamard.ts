/**
 * Hadamard matrices: square, entries +1 and -1, orthogonal rows. Paley's two constructions and Williamson's cover nearly
 * every multiple of 4 up to 256; doubling (the Sylvester factor of a rotation) gives the rest that models need.
 */
import { type QuadraticCharacter, quadraticCharacter } from './quadratic-character.js'

/**
 * First halves (positions 0 .. n/2) of four symmetric +-1 sequences A, B, C, D of odd length n whose circulants satisfy
 * A^2 + B^2 + C^2 + D^2 = 4 n I, for the orders 4n that Paley's constructions miss (Williamson 1944).
 */
const williamsonSequences: Record<number, string[]> = {
  23: ['+++++----+-+', '++-+-+++-++-', '+-----++-+-+', '++-+--+++--+'],
  29: ['+--+-++---+++++', '+-+-+----++-++-', '+-+-++---+--+++', '+++-++-++++---+'],
  43: ['+-+-+----++++-++++-++-', '+--+++--+-+--+-+++++-+', '++-+--++-+++----+++-++', '+--++----+-+---+--++++'],
}

/** A Hadamard matrix of this order, row-major, or undefined when none of the constructions here gives one. */
export function hadamardMatrix(order: number): Int8Array | undefined {
  if (order === 1) return Int8Array.of(1)
  if (order === 2) return Int8Array.of(1, 1, 1, -1)
  if (order % 4 !== 0) return undefined
  return paleyFirst(order) ?? paleySecond(order) ?? williamson(order)
}

/** I + S for q = order - 1 a prime power, 3 modulo 4: S is the skew bordered matrix of chi(a - b). */
function paleyFirst(order: number): Int8Array | undefined {
  const character = quadraticCharacter(order - 1)
  if (character === undefined) return undefined
  const matrix = borderedCharacter(character, -1)
  for (let i = 0; i < order; i++) matrix[i * order + i] = 1
  return matrix
}

/** C (x) [[1, 1], [1, -1]] + I (x) [[1, -1], [-1, -1]] for q = order / 2 - 1 a prime power, 1 modulo 4: C is symmetric. */
function paleySecond(order: number): Int8Array | undefined {
  const half = order / 2
  const character = half % 4 === 2 ? quadraticCharacter(half - 1) : undefined
  if (character === undefined) return undefined
  const conference = borderedCharacter(character, 1)
  const matrix = new Int8Array(order * order)
  for (let i = 0; i < half; i++) {
    for (let j = 0; j < half; j++) {
      const block = i === j ? [1, -1, -1, -1] : [1, 1, 1, -1].map(value => value * conference[i * half + j])
      const corner = 2 * i * order + 2 * j
      matrix.set(block.slice(0, 2), corner)
      matrix.set(block.slice(2), corner + order)
    }
  }
  return matrix
}

/** [[0, 1 ... 1], [side ... side, chi(a - b)]], of order q + 1. */
function borderedCharacter(character: QuadraticCharacter, side: number): Int8Array {
  const order = character.order + 1
  const matrix = new Int8Array(order * order)
  matrix.fill(1, 1, order)
  for (let i = 1; i < order; i++) {
    matrix[i * order] = side
    for (let j = 1; j < order; j++) matrix[i * order + j] = character.ofDifference(i - 1, j - 1)
  }
  return matrix
}

/** The Williamson array [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]]. */
function williamson(order: number): Int8Array | undefined {
  const n = order / 4
  const halves = williamsonSequences[n]
  if (halves === undefined) return undefined
  const array = [
    [1, 2, 3, 4],
    [-2, 1, -4, 3],
    [-3, 4, 1, -2],
    [-4, -3, 2, 1],
  ]
  const matrix = new Int8Array(order * order)
  for (let i = 0; i < order; i++) {
    for (let j = 0; j < order; j++) {
      const block = array[Math.floor(i / n)][Math.floor(j / n)]
      const shift = Math.abs((i % n) - (j % n))
      const sign = halves[Math.abs(block) - 1][Math.min(shift, n - shift)] === '+' ? 1 : -1
      matrix[i * order + j] = sign * Math.sign(block)
    }
  }
  return matrix
}
