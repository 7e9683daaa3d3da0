import assert from 'node:assert/strict'
import { errorStatistics } from '../../dist/index.js'
import { expectError } from '../checkpoint/expect-error.js'

describe('errorStatistics', () => {
  it('gives mean, relative and largest error, and the signal-to-noise ratio in decibels', () => {
    const statistics = errorStatistics(Float32Array.of(3, -4, 0), Float32Array.of(3, -4.5, 0.5))
    assert.equal(statistics.count, 3)
    assert.equal(statistics.meanSquaredError, 0.5 / 3)
    assert.equal(statistics.relativeSquaredError, 0.02)
    assert.equal(statistics.maximumError, 0.5)
    assert.ok(Math.abs(statistics.signalToNoise - 16.9897) < 1e-4)
  })

  it('has no noise for an exact copy', () => {
    assert.equal(errorStatistics(Float32Array.of(1, 2), Float32Array.of(1, 2)).signalToNoise, Number.POSITIVE_INFINITY)
    assert.equal(errorStatistics(new Float32Array(2), new Float32Array(2)).relativeSquaredError, 0)
    const spoiled = errorStatistics(new Float32Array(2), Float32Array.of(0, 1))
    assert.equal(spoiled.relativeSquaredError, Number.POSITIVE_INFINITY)
  })

  it('refuses nothing, and arrays of different lengths', async () => {
    await expectError(() => errorStatistics(new Float32Array(0), new Float32Array(0)), 'EMPTY', /no values/)
    await expectError(() => errorStatistics(new Float32Array(2), new Float32Array(3)), 'INVALID_SHAPE', /2 values.*3/)
  })
})
