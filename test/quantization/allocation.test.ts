import assert from 'node:assert/strict'
import { RandomSource } from '../../dist/model/random-source.js'
import { type AllocationItem, allocate } from '../../dist/quantization/allocation.js'
import { efficientPlans } from '../../dist/quantizers/pvq-rate.js'
import { expectError } from '../checkpoint/expect-error.js'

const bitsOf = (items: AllocationItem[], chosen: number[]) =>
  chosen.reduce((sum, point, i) => sum + items[i].points[point].bits, 0)
const lossOf = (items: AllocationItem[], chosen: number[]) =>
  chosen.reduce((sum, point, i) => sum + items[i].coefficient * items[i].points[point].error, 0)

/** Every combination of points. */
function combinations(items: AllocationItem[]): number[][] {
  if (items.length === 0) return [[]]
  const [first, ...rest] = items
  return combinations(rest).flatMap(others => first.points.map((_, point) => [point, ...others]))
}

/** Three tensors of five points each; bits and errors are whole numbers, some points above the hull. */
function randomItems(random: RandomSource): AllocationItem[] {
  const whole = (most: number) => 1 + Math.floor(random.next() * most)
  return [0, 1, 2].map(() => {
    const bits = [whole(9)]
    const errors = [whole(9)]
    for (let i = 1; i < 5; i++) {
      bits.push(bits[i - 1] + whole(9))
      errors.unshift(errors[0] + whole(20))
    }
    return { coefficient: whole(9), points: bits.map((each, i) => ({ bits: each, error: errors[i] })) }
  })
}

describe('allocation of bits', () => {
  const seed = 51

  it('is as good as the best of all combinations, but for what no point fits', () => {
    const random = new RandomSource(seed)
    let total = 0
    let optimum = 0
    for (let trial = 0; trial < 200; trial++) {
      const items = randomItems(random)
      const all = combinations(items)
      for (const share of [0.2, 0.5, 0.8]) {
        const [least, most] = [bitsOf(items, [0, 0, 0]), bitsOf(items, [4, 4, 4])]
        const budget = Math.round(least + share * (most - least))
        const chosen = allocate(items, budget)
        assert.ok(bitsOf(items, chosen) <= budget, `seed ${seed}, trial ${trial}`)
        const affordable = all.filter(each => bitsOf(items, each) <= budget)
        const best = Math.min(...affordable.map(each => lossOf(items, each)))
        total += lossOf(items, chosen)
        optimum += best
        // What the chosen points themselves cost is spent perfectly, up to the last point filled in.
        const worse = all.filter(each => bitsOf(items, each) <= bitsOf(items, chosen) - 9)
        assert.ok(
          worse.every(each => lossOf(items, each) >= lossOf(items, chosen)),
          `seed ${seed}, trial ${trial}`,
        )
      }
    }
    assert.ok(total < 1.05 * optimum, `seed ${seed}: ${total}, best ${optimum}`)
  })

  it('is optimal on the hull, at every budget that whole steps spend', () => {
    const random = new RandomSource(seed + 1)
    for (let trial = 0; trial < 20; trial++) {
      // Errors that halve with every bit are on the hull, and slopes differ for all items.
      const items = [0, 1, 2].map(() => ({
        coefficient: 1 + random.next(),
        points: [0, 1, 2, 3, 4].map(bits => ({ bits: 1 + bits, error: 2 ** -bits })),
      }))
      const all = combinations(items)
      for (let budget = 3; budget <= 15; budget++) {
        const chosen = allocate(items, budget)
        assert.equal(bitsOf(items, chosen), budget)
        const best = Math.min(...all.filter(each => bitsOf(items, each) <= budget).map(each => lossOf(items, each)))
        assert.ok(Math.abs(lossOf(items, chosen) - best) < 1e-12, `seed ${seed}, trial ${trial}, budget ${budget}`)
      }
    }
  })

  const tensor = (rows: number, columns: number, coefficient: number): AllocationItem => ({
    coefficient,
    points: efficientPlans(rows, columns, 1.5, 6),
  })
  const rates = (items: AllocationItem[], weights: number[], bits: number) => {
    const all = weights.reduce((sum, count) => sum + count, 0)
    const chosen = allocate(items, bits * all)
    const spent = bitsOf(items, chosen) / all
    assert.ok(spent <= bits && spent > bits - 0.005, `${spent} of ${bits} bits`)
    return chosen.map((point, i) => items[i].points[point].bits / weights[i])
  }

  it('gives equal matrices of equal coefficients equal rates, to within the step from one good code to the next', () => {
    for (const bits of [2, 2.51, 3, 3.77]) {
      const items = Array.from({ length: 12 }, () => tensor(576, 576, 7))
      const found = rates(
        items,
        items.map(() => 576 * 576),
        bits,
      )
      assert.ok(Math.max(...found) - Math.min(...found) < 0.16, `${bits}: ${found}`)
    }
  })

  it('gives a coefficient twice as large half a bit more: error ~ 4^-rate', () => {
    const coefficients = [1, 2, 4, 8, 16]
    const items = coefficients.map(coefficient => tensor(640, 1024, coefficient))
    for (const bits of [3, 3.5, 4, 4.5]) {
      const found = rates(
        items,
        items.map(() => 640 * 1024),
        bits,
      )
      for (let i = 1; i < found.length; i++) {
        const shift = found[i] - found[i - 1]
        assert.ok(Math.abs(shift - 0.5) < 0.2, `${bits}: ${found}`)
      }
      assert.ok(Math.abs(found[4] - found[0] - 2) < 0.3, `${bits}: ${found}`)
    }
  })

  it('spends the budget to within 0.005 bit a weight and never more, whatever the shapes', () => {
    const random = new RandomSource(seed + 2)
    const shapes = [
      [576, 576],
      [192, 576],
      [1536, 576],
      [576, 1536],
      [300, 1000],
      [100, 72],
    ]
    const items = shapes.flatMap(([rows, columns]) =>
      [0, 1, 2].map(() => tensor(rows, columns, rows * columns * 10 ** (2 * random.next()))),
    )
    const weights = shapes.flatMap(([rows, columns]) => [0, 1, 2].map(() => rows * columns))
    for (let bits = 1.7; bits < 5.8; bits += 0.31) rates(items, weights, bits)
  })

  it('is the same every time, and gives nothing to what loses nothing before the others are served', () => {
    const items = [tensor(64, 256, 3), tensor(64, 256, 0), tensor(64, 256, 3)]
    const first = allocate(items, 3 * 3 * 64 * 256)
    assert.deepEqual(allocate(items, 3 * 3 * 64 * 256), first)
    assert.equal(first[1], 0)
  })

  it('is refused when the smallest points take more', async () => {
    await expectError(() => allocate([tensor(64, 256, 1)], 64 * 256), 'RATE_OUT_OF_RANGE', /at least/)
  })
})
