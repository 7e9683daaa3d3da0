/**
 * The quadratic character of a finite field GF(p^k): +1 on non-zero squares, -1 on the other non-zero elements, 0 on 0.
 * Paley's Hadamard matrices (hadamard.ts) are made of it.
 */

/** q = p^k, p prime; undefined when q is not a prime power. */
export function primePower(q: number): { prime: number; degree: number } | undefined {
  if (q < 2) return undefined
  let prime = 2
  while (q % prime !== 0) prime++
  let degree = 0
  for (; q % prime === 0; q /= prime) degree++
  return q === 1 ? { prime, degree } : undefined
}

export interface QuadraticCharacter {
  /** q. Elements are 0 .. q - 1, whose base-p digits are a polynomial's coefficients. */
  order: number
  /** chi(a - b). */
  ofDifference(a: number, b: number): -1 | 0 | 1
}

/**
 * Powers of a generator alternate between squares and non-squares. The generator is x modulo a primitive monic polynomial
 * of degree k, found by trying them in order; for k = 1 that is a primitive root of p.
 */
export function quadraticCharacter(q: number): QuadraticCharacter | undefined {
  const power = primePower(q)
  if (power === undefined || power.prime === 2) return undefined
  const { prime, degree } = power
  const character = new Int8Array(q)
  let polynomial = 1
  while (!fillCharacter(character, prime, degree, polynomial)) polynomial++
  return {
    order: q,
    ofDifference(a, b) {
      let difference = 0
      for (let place = 1; place < q; place *= prime) {
        const digit = (Math.floor(a / place) - Math.floor(b / place)) % prime
        difference += place * (digit < 0 ? digit + prime : digit)
      }
      return character[difference] as -1 | 0 | 1
    },
  }
}

/** Walks 1, x, x^2, ... with x^k = polynomial; true when x turned out to generate all q - 1 non-zero elements. */
function fillCharacter(character: Int8Array, prime: number, degree: number, polynomial: number): boolean {
  const q = character.length
  const top = q / prime
  character.fill(0)
  let element = 1
  for (let exponent = 0; exponent < q - 1; exponent++) {
    if (element === 0 || character[element] !== 0) return false
    character[element] = exponent % 2 === 0 ? 1 : -1
    const carry = Math.floor(element / top)
    const shifted = (element % top) * prime
    let next = 0
    for (let place = 1, i = 0; i < degree; place *= prime, i++) {
      const digit = Math.floor(shifted / place) + carry * Math.floor(polynomial / place)
      next += place * (digit % prime)
    }
    element = next
  }
  return element === 1
}
