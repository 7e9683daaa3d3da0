/**
 * The rotation V of a layer's input (incoherence processing, as in QuIP#): random signs, then an orthonormal transform of
 * the whole width. Weights are stored as W V^T and inputs become V x, so nothing changes but the shape of the rounding
 * error. See docs/architecture.md, "Rotation".
 */
import { PyramidionError } from '../errors.js'
import { type NativeRotation, native, type RotationParts } from '../native.js'
import { hadamardMatrix } from './hadamard.js'

/** Largest order m of the dense factor M: its cost is m multiplications a value. */
const MAXIMUM_ORDER = 512
const MAXIMUM_WIDTH = 1 << 24

/**
 * V for vectors of `width` values (1 to 2^24): V = (M (x) S) diag(signs). M has the smallest order m with width = m 2^b for
 * which a Hadamard matrix is known; else it is the discrete Hartley transform of the odd part of the width; an odd part
 * beyond 512 leaves independent blocks of 2^b.
 *
 * @param seed whole number from 0 to 2^32 - 1. Signs depend on (seed, width) only.
 */
export function rotationParts(width: number, seed: number): RotationParts {
  if (!Number.isInteger(width) || width < 1 || width > MAXIMUM_WIDTH) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `width must be a whole number from 1 to ${MAXIMUM_WIDTH}, got ${width}`,
    )
  }
  checkSeed(seed)
  const { order, matrix } = denseFactor(width)
  return { width, signs: randomSigns(width, seed), sylvesterLog2: Math.log2(width / order), matrix }
}

/** Throws INVALID_ARGUMENT unless seed is a whole number from 0 to 2^32 - 1. */
export function checkSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new PyramidionError('INVALID_ARGUMENT', `seed must be a whole number from 0 to 4294967295, got ${seed}`)
  }
}

const cache = new Map<string, NativeRotation>()
const CACHE_ENTRIES = 32

/** The rotation of (width, seed), ready to apply; shared by all layers that ask for the same one. */
export function sharedRotation(width: number, seed: number): NativeRotation {
  const key = `${width}:${seed}`
  let rotation = cache.get(key)
  if (rotation === undefined) {
    rotation = new native.Rotation(rotationParts(width, seed))
    const [oldest] = cache.keys()
    if (cache.size >= CACHE_ENTRIES) cache.delete(oldest)
    cache.set(key, rotation)
  }
  return rotation
}

/** M, orthonormal; no matrix when it is the identity. */
function denseFactor(width: number): { order: number; matrix?: Float32Array } {
  const powerOfTwo = width & -width
  const odd = width / powerOfTwo
  if (odd === 1) return { order: 1 }
  for (let order = odd; order <= Math.min(width, MAXIMUM_ORDER) && width % order === 0; order *= 2) {
    const hadamard = hadamardMatrix(order)
    if (hadamard !== undefined) return { order, matrix: Float32Array.from(hadamard, sign => sign / Math.sqrt(order)) }
  }
  return odd <= MAXIMUM_ORDER ? { order: odd, matrix: hartleyMatrix(odd) } : { order: odd }
}

/** cos t + sin t at t = 2 pi i j / m, over sqrt(m): symmetric, orthonormal, no entry beyond sqrt(2 / m). */
function hartleyMatrix(order: number): Float32Array {
  const matrix = new Float32Array(order * order)
  for (let i = 0; i < order; i++) {
    for (let j = 0; j < order; j++) {
      const angle = (2 * Math.PI * ((i * j) % order)) / order
      matrix[i * order + j] = (Math.cos(angle) + Math.sin(angle)) / Math.sqrt(order)
    }
  }
  return matrix
}

/** Mulberry32 started at seed xor (width * 0x9e3779b9); the top bit of each output is a sign, 1 for minus. */
function randomSigns(width: number, seed: number): Int8Array {
  let state = (seed ^ Math.imul(width, 0x9e3779b9)) >>> 0
  return Int8Array.from({ length: width }, () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) < 0 ? -1 : 1
  })
}
