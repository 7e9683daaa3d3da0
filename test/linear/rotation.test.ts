import assert from 'node:assert/strict'
import { rotationParts, sharedRotation } from '../../dist/linear/rotation.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { randomNormal } from '../model/random-normal.js'

/** V x in double, straight from the definition V = (M (x) S) diag(signs). */
function reference(width: number, seed: number, x: Float32Array): Float64Array {
  const { signs, sylvesterLog2, matrix } = rotationParts(width, seed)
  const size = 2 ** sylvesterLog2
  const order = width / size
  const sign = (i: number, j: number) => {
    let parity = 0
    for (let bits = i & j; bits > 0; bits &= bits - 1) parity ^= 1
    return parity === 0 ? 1 : -1
  }
  return Float64Array.from({ length: width }, (_, out) => {
    const [block, row] = [Math.floor(out / size), out % size]
    let sum = 0
    for (let i = 0; i < width; i++) {
      const factor =
        matrix === undefined ? (Math.floor(i / size) === block ? 1 : 0) : matrix[block * order + Math.floor(i / size)]
      sum += (factor * sign(row, i % size) * signs[i] * x[i]) / Math.sqrt(size)
    }
    return sum
  })
}

describe('a rotation', () => {
  for (const width of [1, 2, 7, 16, 77, 96, 172, 257, 344, 576, 1536, 4099]) {
    it(`of ${width} values is the product its parts define, and its inverse undoes it`, () => {
      const random = new RandomSource(width)
      const rows = 3
      const x = randomNormal(random, rows * width)
      const rotated = x.slice()
      sharedRotation(width, 5).apply(rotated, rows, false)
      for (let row = 0; row < rows; row++) {
        const expected = reference(width, 5, x.subarray(row * width, (row + 1) * width))
        for (let i = 0; i < width; i++) {
          assert.ok(Math.abs(rotated[row * width + i] - expected[i]) < 1e-4, `row ${row}, value ${i}`)
        }
      }
      sharedRotation(width, 5).apply(rotated, rows, true)
      for (let i = 0; i < x.length; i++) assert.ok(Math.abs(rotated[i] - x[i]) < 1e-4, `value ${i}`)
    })
  }

  it('spreads a single large value over the whole width', () => {
    for (const width of [576, 1536, 4096]) {
      const x = new Float32Array(width)
      x[17] = 1
      sharedRotation(width, 0).apply(x, 1, false)
      const largest = Math.max(...x.map(Math.abs))
      assert.ok(largest < 1.01 / Math.sqrt(width), `${width}: ${largest}`)
    }
  })

  it('is one object for all who share width and seed', () => {
    assert.equal(sharedRotation(64, 1), sharedRotation(64, 1))
    assert.notEqual(sharedRotation(64, 1), sharedRotation(64, 2))
  })
})
