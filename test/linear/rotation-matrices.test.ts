import assert from 'node:assert/strict'
import { hadamardMatrix } from '../../dist/linear/hadamard.js'
import { rotationParts } from '../../dist/linear/rotation.js'

/** Largest |(M M^T - I)_ij|, in double, on a few or all rows. */
function orthogonalityError(matrix: ArrayLike<number>, order: number, norm: number): number {
  let worst = 0
  for (let i = 0; i < order; i++) {
    for (let j = i; j < order; j++) {
      let product = 0
      for (let k = 0; k < order; k++) product += matrix[i * order + k] * matrix[j * order + k]
      worst = Math.max(worst, Math.abs(product / norm - (i === j ? 1 : 0)))
    }
  }
  return worst
}

describe('Hadamard matrices', () => {
  it('have entries +1 and -1 and orthogonal rows for every order up to 512 that can be constructed', () => {
    let constructed = 0
    for (let order = 1; order <= 512; order++) {
      const matrix = hadamardMatrix(order)
      if (matrix === undefined) continue
      constructed++
      assert.equal(matrix.length, order * order)
      assert.ok(
        matrix.every(value => Math.abs(value) === 1),
        `order ${order}`,
      )
      assert.equal(orthogonalityError(matrix, order, order), 0, `order ${order}`)
    }
    assert.ok(constructed > 70, `${constructed} orders`)
  })

  it('exist for the orders that real models need', () => {
    for (const order of [12, 20, 28, 36, 44, 52, 60, 76, 92, 100, 108, 116, 140, 148, 172]) {
      assert.ok(hadamardMatrix(order) !== undefined, `order ${order}`)
    }
  })

  it('do not exist for odd orders or orders that 4 does not divide', () => {
    for (const order of [3, 6, 7, 10, 14, 18, 99]) assert.equal(hadamardMatrix(order), undefined)
  })
})

describe('rotationParts', () => {
  const factorOrders: [number, number][] = [
    [1, 1],
    [2, 1],
    [576, 36],
    [960, 60],
    [1536, 12],
    [3584, 28],
    [4096, 1],
    [5120, 20],
    [11008, 172],
    [14336, 28],
    [18944, 148],
    [77, 77],
    [257, 257],
    [13696, 107],
    [4099, 4099],
    [8198, 4099],
  ]
  for (const [width, order] of factorOrders) {
    it(`transforms a width of ${width} with a factor of order ${order}`, () => {
      const parts = rotationParts(width, 7)
      assert.equal(parts.width, width)
      assert.equal(parts.signs.length, width)
      assert.ok(parts.signs.every(sign => sign === 1 || sign === -1))
      assert.equal(order * 2 ** parts.sylvesterLog2, width)
      if (parts.matrix === undefined) assert.ok(order === 1 || order > 512)
      else assert.ok(orthogonalityError(parts.matrix, order, 1) < 1e-5)
    })
  }

  it('draws signs that depend on the seed and the width, half of them negative', () => {
    const signs = (width: number, seed: number) => rotationParts(width, seed).signs
    assert.deepEqual(signs(4096, 3), signs(4096, 3))
    assert.notDeepEqual(signs(4096, 3), signs(4096, 4))
    assert.notDeepEqual(signs(4096, 3), signs(8192, 3).subarray(0, 4096))
    const sum = signs(65536, 0).reduce((total, sign) => total + sign, 0)
    assert.ok(Math.abs(sum) < 5 * 256, `sum of 65536 signs is ${sum}`)
  })

  it('rejects widths and seeds out of range', () => {
    for (const width of [0, -1, 1.5, Number.NaN, 2 ** 24 + 1]) {
      assert.throws(() => rotationParts(width, 0), { code: 'INVALID_ARGUMENT', message: /width must be/ })
    }
    for (const seed of [-1, 0.5, 2 ** 32, Number.NaN]) {
      assert.throws(() => rotationParts(8, seed), { code: 'INVALID_ARGUMENT', message: /seed must be/ })
    }
  })
})
