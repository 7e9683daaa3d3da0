import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { integer, type Lattice, mxint, pvq } from '../../dist/index.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { expectError } from '../checkpoint/expect-error.js'
import { randomNormal } from '../model/random-normal.js'

interface GoldenCase {
  dimension: number
  pulses: number
  levels: number
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

const normal = (seed: number, length: number) => randomNormal(new RandomSource(seed), length)

/** Every point of P(D,K), by brute force. */
function pyramid(dimension: number, pulses: number): number[][] {
  if (dimension === 1) return pulses === 0 ? [[0]] : [[pulses], [-pulses]]
  const points: number[][] = []
  for (let first = -pulses; first <= pulses; first++) {
    for (const rest of pyramid(dimension - 1, pulses - Math.abs(first))) points.push([first, ...rest])
  }
  return points
}

describe('pvq', () => {
  for (const { dimension, pulses, levels, count, codeBits, points, indices, level, packed } of golden.cases) {
    it(`agrees with the golden vectors at D = ${dimension}, K = ${pulses}, L = ${levels}`, () => {
      const q = pvq({ dimension, pulses, levels })
      const expected = BigUint64Array.from(indices, BigInt)
      const flat = Int16Array.from(points.flat())
      assert.equal(q.count, BigInt(count))
      assert.equal(q.codeBits, codeBits)
      assert.deepEqual(q.indexOf(flat), expected)
      assert.deepEqual(q.pointsOf(expected), flat)
      const bytes = q.pack(expected, level)
      assert.equal(Buffer.from(bytes).toString('hex'), packed)
      assert.deepEqual(q.unpack(bytes, level.length), { indices: expected, levels: Uint16Array.from(level) })
    })
  }

  it('counts its points and their bits', () => {
    const q = pvq({ dimension: 8, pulses: 6, levels: 2 })
    assert.equal(q.name, 'pvq')
    assert.equal(q.count, BigInt(pyramid(8, 6).length))
    assert.equal(q.codeBits, Math.ceil(Math.log2(2 * pyramid(8, 6).length)))
    assert.equal(q.bitsPerWeight, q.codeBits / 8)
  })

  it('finds the nearest direction of the pyramid, as brute force does', () => {
    const seed = 11
    const q = pvq({ dimension: 4, pulses: 3, levels: 64 })
    const points = pyramid(4, 3)
    const values = normal(seed, 4 * 50)
    const { codes } = q.encode(values)
    const chosen = q.pointsOf(q.unpack(codes, 50).indices)
    for (let group = 0; group < 50; group++) {
      const w = values.subarray(4 * group, 4 * group + 4)
      const cosine = (p: ArrayLike<number>) => w.reduce((sum, x, i) => sum + x * p[i], 0) / Math.hypot(...Array.from(p))
      const best = Math.max(...points.map(cosine))
      const found = cosine(chosen.subarray(4 * group, 4 * group + 4))
      assert.ok(found >= best * (1 - 1e-5), `seed ${seed}, group ${group}: ${found} against ${best}`)
    }
  })

  it('decodes to scale * level * p / |p|, with ascending levels and the scale of the row', () => {
    const seed = 12
    const q = pvq({ dimension: 8, pulses: 12, levels: 7 })
    const values = normal(seed, 8 * 40)
    const { codes, scale } = q.encode(values)
    const decoded = q.decode(codes, scale, 40)
    const { indices, levels } = q.unpack(codes, 40)
    const points = q.pointsOf(indices)
    const gains = new Map<number, number>()
    for (let group = 0; group < 40; group++) {
      const p = points.subarray(8 * group, 8 * group + 8)
      const w = decoded.subarray(8 * group, 8 * group + 8)
      const gain = Math.hypot(...w) / scale
      const known = gains.get(levels[group]) ?? gain
      assert.ok(Math.abs(gain - known) < 1e-3 * known, `seed ${seed}, group ${group}`)
      gains.set(levels[group], known)
      for (let i = 0; i < 8; i++) {
        assert.ok(Math.abs(w[i] - (scale * gain * p[i]) / Math.hypot(...p)) < 1e-4, `seed ${seed}, group ${group}`)
      }
    }
    const ordered = [...gains].sort(([a], [b]) => a - b).map(([, gain]) => gain)
    assert.ok(ordered.length > 3)
    assert.ok(ordered.every((gain, i) => i === 0 || gain > ordered[i - 1]))
  })

  it('codes rows of a matrix as it codes each row alone', async () => {
    const q = pvq({ dimension: 16, pulses: 11, levels: 3 })
    const values = normal(13, 5 * 48)
    const weights = q.encodeRows(values, 5, 48)
    assert.deepEqual(await q.encodeRowsAsync(values, 5, 48), weights)
    const decoded = q.decodeRows(weights)
    for (let row = 0; row < 5; row++) {
      const { codes, scale } = q.encode(values.subarray(48 * row, 48 * row + 48))
      assert.deepEqual(q.decode(codes, scale, 3), decoded.slice(48 * row, 48 * row + 48))
    }
  })

  it('numbers, packs and decodes the points of the Barnes-Wall lattice', async () => {
    const seed = 17
    for (const [pulses, levels] of [
      [8, 1],
      [20, 2],
      [42, 5],
      [82, 14],
    ]) {
      const q = pvq({ dimension: 16, pulses, levels, lattice: 'barnes-wall' })
      const n = 60
      const { codes, scale } = q.encode(normal(seed, 16 * n))
      const chosen = q.unpack(codes, n)
      const points = q.pointsOf(chosen.indices)
      assert.deepEqual(q.indexOf(points), chosen.indices)
      assert.deepEqual(q.pack(chosen.indices, chosen.levels), codes)
      const decoded = q.decode(codes, scale, n)
      for (let group = 0; group < n; group++) {
        const p = Array.from(points.subarray(16 * group, 16 * group + 16))
        assert.equal(
          p.reduce((sum, x) => sum + Math.abs(x), 0),
          pulses,
        )
        assert.equal(p.reduce((sum, x) => sum + x, 0) & 3, 0)
        // Words of RM(1,4) are the affine functions of four bits: those that vanish when summed over every plane.
        for (let i = 0; i < 16; i++) {
          for (let a = 1; a < 16; a++) {
            for (let b = 1; b < a; b++) assert.equal((p[i] + p[i ^ a] + p[i ^ b] + p[i ^ a ^ b]) & 1, 0)
          }
        }
        const gain = Math.hypot(...decoded.subarray(16 * group, 16 * group + 16))
        for (let i = 0; i < 16; i++) {
          assert.ok(Math.abs(decoded[16 * group + i] - (gain * p[i]) / Math.hypot(...p)) < 1e-5)
        }
      }
      await expectError(() => q.pointsOf(BigUint64Array.of(q.count)), 'INVALID_ARGUMENT', /indices must be below/)
    }
    const q = pvq({ dimension: 16, pulses: 20, levels: 2, lattice: 'barnes-wall' })
    assert.equal(q.count, 1708766720n)
    assert.equal(q.codeBits, 32)
    const outside = new Int16Array(16).fill(1, 0, 15)
    outside[0] = -1
    outside[15] = 5
    await expectError(() => q.indexOf(outside), 'INVALID_ARGUMENT', /point 0 must add up to 20 .* Barnes-Wall lattice/)
  })

  it('pads the last group of a row that is not a multiple of the dimension', () => {
    for (const q of [
      pvq({ dimension: 16, pulses: 24, levels: 7 }),
      pvq({ dimension: 16, pulses: 40, levels: 8, lattice: 'barnes-wall' }),
    ])
      for (const columns of [1, 2, 15, 17, 33, 100]) {
        const { relativeSquaredError } = q.errorStatistics(normal(columns, 3 * columns), 3, columns)
        assert.ok(relativeSquaredError < 0.08, `${columns} columns: ${relativeSquaredError}`)
      }
  })

  it('decodes a row of zeros to zeros', () => {
    const q = pvq({ bits: 2 })
    const { codes, scale } = q.encode(new Float32Array(64))
    assert.equal(scale, 0)
    assert.deepEqual(q.decode(codes, scale, 64 / q.dimension), new Float32Array(64))
  })

  it('reaches the error of the design table within 1 percent on normal values', () => {
    const table: [number, number, number, number, Lattice?][] = [
      [8, 6, 2, 0.1061],
      [16, 11, 3, 0.0994],
      [8, 9, 3, 0.0531],
      [16, 17, 3, 0.0503],
      [8, 12, 7, 0.0273],
      [16, 24, 7, 0.0249],
      [8, 15, 6, 0.0195],
      [16, 29, 7, 0.0178],
      [8, 25, 13, 0.0068],
      [16, 49, 14, 0.0063],
      [16, 20, 2, 0.0903, 'barnes-wall'],
      [16, 28, 5, 0.0455, 'barnes-wall'],
      [16, 40, 8, 0.0228, 'barnes-wall'],
      [16, 48, 9, 0.0161, 'barnes-wall'],
      [16, 82, 14, 0.0058, 'barnes-wall'],
    ]
    const values = normal(14, 256 * 4096)
    for (const [dimension, pulses, levels, expected, lattice] of table) {
      const q = pvq({ dimension, pulses, levels, lattice })
      const { relativeSquaredError } = q.errorStatistics(values, 256, 4096)
      // 1 percent, and half a unit of the table's last digit.
      const tolerance = 0.01 * expected + 0.00005
      assert.ok(
        Math.abs(relativeSquaredError - expected) < tolerance,
        `D ${dimension}, K ${pulses}, L ${levels}: ${relativeSquaredError}, expected ${expected}`,
      )
    }
  })

  it('refuses settings, values and codes out of range', async () => {
    const invalid: [object, RegExp][] = [
      [{ dimension: 3, pulses: 4, levels: 2 }, /dimension must be 2, 4, 8, 16 or 32, got 3/],
      [{ dimension: 64, pulses: 4, levels: 2 }, /dimension must be/],
      [{ dimension: 8, pulses: 0, levels: 2 }, /pulses must be/],
      [{ dimension: 8, pulses: 4, levels: 0 }, /levels must be/],
      [{ dimension: 32, pulses: 40, levels: 2 }, /at most 64 bits/],
      [
        { dimension: 8, pulses: 20, levels: 2, lattice: 'barnes-wall' },
        /dimension must be 16 for the Barnes-Wall lattice/,
      ],
      [
        { dimension: 16, pulses: 21, levels: 2, lattice: 'barnes-wall' },
        /pulses must be even and from 8 to 98 .* got 21/,
      ],
      [{ dimension: 16, pulses: 6, levels: 2, lattice: 'barnes-wall' }, /pulses must be even and from 8 to 98/],
      [{ dimension: 16, pulses: 98, levels: 2, lattice: 'barnes-wall' }, /at most 64 bits/],
      [{ dimension: 16, pulses: 20, levels: 2, lattice: 'leech' }, /lattice must be integer or barnes-wall, got leech/],
      [{ bits: 3, dimension: 8, lattice: 'barnes-wall' }, /dimension must be 16 for the Barnes-Wall lattice, got 8/],
    ]
    for (const [options, message] of invalid) {
      await expectError(() => pvq(options as { bits: number }), 'INVALID_ARGUMENT', message)
    }
    const q = pvq({ dimension: 8, pulses: 6, levels: 2 })
    await expectError(() => q.encode(new Float32Array(0)), 'EMPTY', /values/)
    await expectError(() => q.encode(new Float32Array(9)), 'INVALID_SHAPE', /whole groups of 8, got 9/)
    await expectError(() => q.encode(Float32Array.of(1, 2, 3, Number.NaN, 5, 6, 7, 8)), 'NOT_FINITE', /column 3/)
    await expectError(() => q.encodeRows(new Float32Array(16), 3, 8), 'INVALID_SHAPE', /3 x 8 = 24 values, got 16/)
    await expectError(() => q.indexOf(Int16Array.of(1, 1, 1, 1, 1, 1, 1, 1)), 'INVALID_ARGUMENT', /./)
    await expectError(() => q.pointsOf(BigUint64Array.of(q.count)), 'INVALID_ARGUMENT', /./)
    await expectError(() => q.pack(BigUint64Array.of(q.count), [0]), 'INVALID_ARGUMENT', /indices\[0\] must be below/)
    await expectError(() => q.pack(BigUint64Array.of(0n), [2]), 'INVALID_ARGUMENT', /levels\[0\] must be/)
    await expectError(() => q.pack(BigUint64Array.of(0n), [0, 1]), 'INVALID_SHAPE', /levels/)
    await expectError(() => q.unpack(Uint8Array.of(255, 255), 1), 'INVALID_ARGUMENT', /code 0 must be below/)
    await expectError(() => q.unpack(new Uint8Array(3), 1), 'INVALID_SHAPE', /2 bytes, got 3/)
    await expectError(() => q.decode(new Uint8Array(1), 1, 1), 'INVALID_SHAPE', /codes/)
    await expectError(() => q.decode(Uint8Array.of(255, 255), 1, 1), 'INVALID_ARGUMENT', /codes/)
    await expectError(() => q.decode(new Uint8Array(2), Number.NaN, 1), 'INVALID_ARGUMENT', /scale/)
  })

  it('stops when its signal fires, before and during the work', async () => {
    const q = pvq({ bits: 3 })
    const values = normal(15, 2000 * 1024)
    await expectError(
      () => q.encodeRowsAsync(values, 2000, 1024, { signal: AbortSignal.abort() }),
      'ABORTED',
      /aborted/,
    )
    const controller = new AbortController()
    const work = q.encodeRowsAsync(values, 2000, 1024, { signal: controller.signal })
    controller.abort()
    await expectError(() => work, 'ABORTED', /aborted/)
  })

  it('reports the rows that are done, and all of them at the end', async () => {
    const reports: { done: number; total: number }[] = []
    await pvq({ bits: 4 }).encodeRowsAsync(normal(16, 600 * 1024), 600, 1024, {
      onProgress: progress => reports.push(progress),
    })
    assert.deepEqual(reports.at(-1), { done: 600, total: 600 })
    assert.ok(reports.every(({ done }, i) => i === 0 || done >= reports[i - 1].done))
  })
})

describe('integer and mxint', () => {
  it('cost what they say, scales included', () => {
    assert.equal(integer({ bits: 4, groupSize: 64 }).bitsPerWeight, 4.5)
    assert.equal(integer({ bits: 4, groupSize: 64, symmetric: true }).bitsPerWeight, 4.25)
    assert.equal(mxint({ bits: 4 }).bitsPerWeight, 4.5)
    assert.equal(integer({ bits: 3, groupSize: 128 }).storedBits(10, 256), 10 * 256 * 3.25)
    assert.equal(mxint({ bits: 4, blockSize: 16 }).storedBits(3, 20), 3 * (20 * 4 + 2 * 8))
  })

  for (const [name, quantizer, step] of [
    ['asymmetric integers', integer({ bits: 5, groupSize: 32 }), 1 / 31],
    ['symmetric integers', integer({ bits: 5, groupSize: 32, symmetric: true }), 1 / 15],
    ['mxint', mxint({ bits: 6, blockSize: 16 }), 2 / 31],
  ] as const) {
    it(`rounds ${name} to within a step of the range of a group`, () => {
      const seed = 21
      const [rows, columns] = [3, 101]
      const values = normal(seed, rows * columns)
      const weights = quantizer.encodeRows(values, rows, columns)
      const decoded = quantizer.decodeRows(weights)
      const group = 'blockSize' in weights ? weights.blockSize : 32
      for (let i = 0; i < values.length; i++) {
        const column = i % columns
        const start = i - (column % group)
        const end = Math.min(start + group, i - column + columns)
        const members = values.subarray(start, end)
        const range =
          name === 'asymmetric integers'
            ? Math.max(0, ...members) - Math.min(0, ...members)
            : 2 * Math.max(...members.map(Math.abs))
        assert.ok(Math.abs(values[i] - decoded[i]) <= range * step, `seed ${seed}, value ${i}`)
      }
    })
  }

  it('lose less with more bits', () => {
    const values = normal(22, 64 * 256)
    for (const make of [
      (bits: number) => integer({ bits }),
      (bits: number) => integer({ bits, symmetric: true }),
      (bits: number) => mxint({ bits }),
    ]) {
      const errors = [2, 3, 4, 6, 8].map(bits => make(bits).errorStatistics(values, 64, 256).relativeSquaredError)
      assert.ok(
        errors.every((error, i) => i === 0 || error < errors[i - 1]),
        errors.join(', '),
      )
    }
  })

  it('refuse settings out of range', async () => {
    await expectError(() => integer({ bits: 9 }), 'INVALID_ARGUMENT', /bits must be a whole number from 1 to 8, got 9/)
    await expectError(() => integer({ bits: 4, groupSize: 0 }), 'INVALID_ARGUMENT', /groupSize/)
    await expectError(() => integer({ bits: 1, symmetric: true }), 'INVALID_ARGUMENT', /bits/)
    await expectError(() => mxint({ bits: 1 }), 'INVALID_ARGUMENT', /bits/)
    await expectError(() => mxint({ bits: 4, blockSize: 1.5 }), 'INVALID_ARGUMENT', /blockSize/)
  })
})
