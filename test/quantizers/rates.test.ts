import assert from 'node:assert/strict'
import { codeBits } from '../../dist/checkpoint/quantized-layout.js'
import { type Lattice, pvq } from '../../dist/index.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { planQuantizer } from '../../dist/quantizers/plan-quantizer.js'
import { pvqDimensions, tableCodes } from '../../dist/quantizers/pvq-code.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

describe('the table of PVQ codes', () => {
  it('holds codes that fit their bits, and loses less with every bit', () => {
    for (const [dimension, lattice] of [
      ...pvqDimensions.map(dimension => [dimension] as const),
      [16, 'barnes-wall'] as const,
    ]) {
      const codes = tableCodes(dimension, lattice)
      for (const [i, code] of codes.entries()) {
        assert.equal(codeBits(code), code.bits)
        if (i > 0) assert.equal(code.bits, codes[i - 1].bits + 1)
        if (i > 0) assert.ok(code.error < codes[i - 1].error, `D ${dimension}, ${code.bits} bits`)
      }
    }
  })

  it('predicts the error that is measured, within 2 percent', () => {
    const seed = 31
    const values = randomNormal(new RandomSource(seed), 128 * 4096)
    for (const [dimension, lattice] of [[8], [16], [32], [16, 'barnes-wall']] as [number, Lattice?][]) {
      for (const code of tableCodes(dimension, lattice).filter((_, i) => i % 12 === 11)) {
        const measured = pvq(code).errorStatistics(values, 128, 4096).relativeSquaredError
        assert.ok(
          Math.abs(measured / code.error - 1) < 0.02,
          `seed ${seed}, D ${dimension}, ${lattice ?? 'integer'}, ${code.bits} bits: ${measured}, table ${code.error}`,
        )
      }
    }
  })
})

describe('pvq for a rate', () => {
  it('reaches any rate from 1 to 8 bits, and close to it on a real matrix', () => {
    for (let bits = 1; bits <= 8; bits += 0.07) {
      const q = pvq({ bits })
      assert.ok(Math.abs(q.bitsPerWeight - bits) < 1e-9, `${bits}: ${q.bitsPerWeight}`)
      const stored = q.storedBits(4096, 4096) / 4096 ** 2
      const overhead = 16 / 4096 + (2 * 400 * 32) / 4096 ** 2
      assert.ok(stored > bits - 0.01 && stored < bits + overhead + 0.01, `${bits}: ${stored}`)
    }
  })

  it('uses the Barnes-Wall lattice when asked to, from 1.4 to 4 bits, and loses less by it', () => {
    const seed = 34
    const values = randomNormal(new RandomSource(seed), 64 * 1024)
    for (let bits = 1; bits <= 8; bits += 0.37) {
      const q = pvq({ bits, lattice: 'barnes-wall' })
      assert.ok(Math.abs(q.bitsPerWeight - bits) < 1e-9, `${bits}: ${q.bitsPerWeight}`)
      const error = q.errorStatistics(values, 64, 1024).relativeSquaredError
      const integer = pvq({ bits }).errorStatistics(values, 64, 1024).relativeSquaredError
      if (bits > 1.4 && bits <= 4) {
        assert.ok(q.segmentShapes(1024).every(({ lattice }) => lattice === 'barnes-wall'))
        assert.ok(error < 0.97 * integer, `seed ${seed}, ${bits} bits: ${error}, ${integer} on the integers`)
      } else assert.ok(error < 1.02 * integer, `seed ${seed}, ${bits} bits: ${error}, ${integer} on the integers`)
    }
  })

  it('keeps to a dimension that is asked for', () => {
    for (const dimension of [8, 16]) {
      const { segments } = pvq({ bits: 3.3, dimension }).encodeRows(new Float32Array(800).fill(1), 1, 800)
      assert.deepEqual(
        segments.map(segment => segment.dimension),
        segments.map(() => dimension),
      )
    }
  })

  it('refuses rates that cannot be reached', async () => {
    for (const bits of [0.5, 8.1, Number.NaN, -1]) {
      await expectError(() => pvq({ bits }), 'RATE_OUT_OF_RANGE', /bits must be between 1 and 8/)
    }
    await expectError(() => pvq({ bits: 5, dimension: 16 }), 'RATE_OUT_OF_RANGE', /at most 4 for dimension 16/)
    await expectError(() => pvq({ bits: 3, dimension: 12 }), 'INVALID_ARGUMENT', /dimension/)
  })
})

describe('a quantizer planned for a matrix', () => {
  const shapes = [
    [576, 576],
    [192, 576],
    [576, 1536],
    [1, 4096],
    [4096, 11008],
    [300, 1000],
  ]

  it('stores what was asked for to within 0.01 bit a weight, everything counted', () => {
    for (const [rows, columns] of shapes) {
      for (let bits = rows === 1 ? 1.5 : 1; bits <= (rows === 1 ? 4 : 7.99); bits += 0.13) {
        const stored = planQuantizer('pvq', rows, columns, bits * rows * columns).storedBits(rows, columns)
        const rate = stored / (rows * columns)
        assert.ok(Math.abs(rate - bits) < 0.01, `${rows} x ${columns} at ${bits}: ${rate}`)
      }
    }
  })

  it('stores exactly the bits it says: codes, row scales and levels', () => {
    for (const [rows, columns] of [
      [7, 100],
      [3, 576],
      [12, 1000],
    ]) {
      const quantizer = planQuantizer('pvq', rows, columns, 4 * rows * columns)
      const weights = quantizer.encodeRows(randomNormal(new RandomSource(32), rows * columns), rows, columns)
      assert.equal(weights.format, 'pvq')
      if (weights.format !== 'pvq') return
      const levels = weights.segments.reduce((sum, segment) => sum + segment.levels.length, 0)
      const bits = 8 * weights.codes.length + 16 * weights.rowScale.length + 32 * levels
      assert.equal(quantizer.storedBits(rows, columns), bits)
    }
  })

  it('beats integers and mxint of the same size on normal values', () => {
    const seed = 33
    const [rows, columns] = [96, 1024]
    const values = randomNormal(new RandomSource(seed), rows * columns)
    for (const bits of [2.5, 3.25, 4.25]) {
      const [pvqError, ...baselines] = (['pvq', 'integer', 'mxint'] as const).map(name => {
        const quantizer = planQuantizer(name, rows, columns, bits * rows * columns)
        const rate = quantizer.storedBits(rows, columns) / (rows * columns)
        assert.ok(Math.abs(rate - bits) < 0.01, `${name} at ${bits}: ${rate}`)
        return quantizer.errorStatistics(values, rows, columns).relativeSquaredError
      })
      for (const error of baselines) assert.ok(pvqError < 0.7 * error, `seed ${seed}, ${bits} bits`)
    }
  })

  it('is refused when the scales alone take more than the rate', async () => {
    await expectError(() => planQuantizer('pvq', 4, 4, 3 * 16), 'RATE_OUT_OF_RANGE', /4 x 4 matrix takes from/)
    await expectError(() => planQuantizer('pvq', 64, 576, 12 * 64 * 576), 'RATE_OUT_OF_RANGE', /got 12/)
    await expectError(() => planQuantizer('integer', 64, 64, 64 * 64), 'RATE_OUT_OF_RANGE', /at least/)
  })
})
