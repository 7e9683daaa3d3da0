import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { PyramidionError } from '../../dist/errors.js'
import { native } from '../../dist/native.js'

interface GoldenCase {
  dimension: number
  pulses: number
  count: string
  codeBits: number
  points: number[][]
  indices: string[]
  level: number[]
  packed: string
}
const golden: { cases: GoldenCase[] } = JSON.parse(
  readFileSync(new URL('../golden/tree-index.json', import.meta.url), 'utf8'),
)

function assertRefused(action: () => unknown, code: string, message: RegExp): void {
  assert.throws(action, (error: unknown) => {
    assert.ok(error instanceof PyramidionError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

describe('PVQ functions of the addon', () => {
  for (const { dimension, pulses, count, codeBits, points, indices, level, packed } of golden.cases) {
    it(`agree with the golden vectors at D = ${dimension}, K = ${pulses}`, () => {
      const flat = Int16Array.from(points.flat())
      const expected = BigUint64Array.from(indices, BigInt)
      const codes = expected.map((index, i) => BigInt(level[i] as number) * BigInt(count) + index)
      assert.equal(native.pvqCount(dimension, pulses), BigInt(count))
      assert.deepEqual(native.pvqIndices(dimension, pulses, flat), expected)
      assert.deepEqual(native.pvqPoints(dimension, pulses, expected), flat)
      assert.equal(Buffer.from(native.packCodes(codes, codeBits)).toString('hex'), packed)
      assert.deepEqual(native.unpackCodes(Buffer.from(packed, 'hex'), codeBits, codes.length), codes)
    })
  }

  it('count the points of small pyramids as enumeration does', () => {
    assert.equal(native.pvqCount(2, 0), 1n)
    assert.equal(native.pvqCount(2, 5), 20n)
    assert.equal(native.pvqCount(4, 2), 32n)
    assert.equal(native.pvqCount(8, 1), 16n)
  })

  it('refuse pyramids that 64 bits cannot number', () => {
    assertRefused(() => native.pvqCount(16, 200), 'INVALID_ARGUMENT', /pulses is too large/)
    assertRefused(() => native.pvqCount(32, 32767), 'INVALID_ARGUMENT', /pulses is too large/)
    assertRefused(() => native.pvqCount(12, 3), 'INVALID_ARGUMENT', /dimension must be a power of two/)
  })

  it('refuse points outside the pyramid and indices beyond its size', () => {
    assertRefused(() => native.pvqIndices(2, 3, Int16Array.of(1, 1)), 'INVALID_ARGUMENT', /point 0 must add up to 3/)
    assertRefused(
      () => native.pvqIndices(4, 3, Int16Array.of(1, 1)),
      'INVALID_SHAPE',
      /points must have a multiple of 4/,
    )
    assertRefused(() => native.pvqPoints(2, 3, BigUint64Array.of(12n)), 'INVALID_ARGUMENT', /indices must be below 12/)
    assertRefused(() => native.packCodes(BigUint64Array.of(8n), 3), 'INVALID_ARGUMENT', /codes must be below 2\^3/)
    assertRefused(() => native.unpackCodes(new Uint8Array(2), 9, 2), 'INVALID_SHAPE', /3 values or more/)
  })

  it('encode the same rows now and later, and count them', async () => {
    const [rows, columns] = [5, 33]
    const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898) * (1 + (i % 7)))
    const segments = [
      { columns: 16, dimension: 16, pulses: 24, levels: native.pvqGainLevels(16, 24, 7, columns) },
      { columns: 17, dimension: 8, pulses: 12, levels: native.pvqGainLevels(8, 12, 7, columns) },
    ]
    const control = new Int32Array(new SharedArrayBuffer(8))
    const now = native.pvqEncode(values, rows, columns, segments)
    const later = await native.pvqEncodeAsync(values, rows, columns, segments, control)
    assert.deepEqual(later, now)
    assert.equal(control[1], rows)
    assert.equal(now.codes.length, rows * (6 + 9))
    const weights = { format: 'pvq' as const, rows, columns, segments, ...now }
    assert.equal(native.pvqFirstInvalidRow(weights), -1)
    // The last of the three 24-bit codes in row 3: above 7 N(8,12).
    now.codes.fill(0xff, 3 * 15 + 12, 3 * 15 + 15)
    assert.equal(native.pvqFirstInvalidRow(weights), 3)
  })

  it('refuse values and segments that cannot be encoded', () => {
    const segment = { columns: 8, dimension: 8, pulses: 6, levels: Float32Array.of(2, 3) }
    const encode =
      (values: Float32Array, segments = [segment]) =>
      () =>
        native.pvqEncode(values, 1, 8, segments)
    assertRefused(
      encode(new Float32Array(8).fill(Number.NaN)),
      'NOT_FINITE',
      /values must be finite, got nan in row 0, column 0/,
    )
    assertRefused(encode(new Float32Array(8).fill(1e30)), 'INVALID_ARGUMENT', /root mean square/)
    assertRefused(encode(new Float32Array(7)), 'INVALID_SHAPE', /values/)
    assertRefused(encode(new Float32Array(8), [{ ...segment, columns: 7 }]), 'INVALID_SHAPE', /add up to the 8 columns/)
    assertRefused(encode(new Float32Array(8), []), 'EMPTY', /segments/)
    assertRefused(
      encode(new Float32Array(8), [{ ...segment, levels: Float32Array.of(3, 2) }]),
      'INVALID_ARGUMENT',
      /ascending/,
    )
    assertRefused(encode(new Float32Array(8), [{ ...segment, pulses: 800 }]), 'INVALID_ARGUMENT', /64 bits/)
  })

  it('stop an encoding that is cancelled', async () => {
    const control = new Int32Array(new SharedArrayBuffer(8))
    control[0] = 1
    const segment = { columns: 8, dimension: 8, pulses: 6, levels: Float32Array.of(2, 3) }
    await assert.rejects(native.pvqEncodeAsync(new Float32Array(80), 10, 8, [segment], control), { code: 'ABORTED' })
  })
})
