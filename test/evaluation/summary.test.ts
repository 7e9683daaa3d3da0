import assert from 'node:assert/strict'
import { distribution } from '../../dist/evaluation/summary.js'

describe('the summary of a sample', () => {
  it('has its mean and its interpolated percentiles, whatever the order', () => {
    // numpy.percentile(range(101), [50, 99]) and of [4, 1, 3, 2].
    const values = Float64Array.from({ length: 101 }, (_, i) => (i * 37) % 101)
    assert.deepEqual(distribution(values), { mean: 50, median: 50, p99: 99 })
    const few = distribution(Float64Array.of(4, 1, 3, 2))
    assert.equal(few.median, 2.5)
    assert.ok(Math.abs(few.p99 - 3.97) < 1e-12)
    assert.deepEqual(distribution(Float64Array.of(7)), { mean: 7, median: 7, p99: 7 })
  })
})
