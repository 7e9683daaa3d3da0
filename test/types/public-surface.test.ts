// The public types as a user sees them. tsc checks this file; mocha runs it, so that the functions named exist.
import assert from 'node:assert/strict'
import { expectTypeOf } from 'expect-type'
import * as pyramidion from '../../dist/index.js'

describe('the public surface', () => {
  it('has quantizers with one interface', () => {
    const q = pyramidion.pvq({ dimension: 16, pulses: 24, levels: 7 })
    expectTypeOf(q.count).toEqualTypeOf<bigint>()
    expectTypeOf(q.codeBits).toEqualTypeOf<number>()
    expectTypeOf(q.indexOf).toEqualTypeOf<(points: Int16Array) => BigUint64Array>()
    expectTypeOf(q.pointsOf).toEqualTypeOf<(indices: BigUint64Array) => Int16Array>()
    expectTypeOf(q.pack).toEqualTypeOf<(indices: BigUint64Array, levels: ArrayLike<number>) => Uint8Array>()
    expectTypeOf(q.unpack).returns.toEqualTypeOf<{ indices: BigUint64Array; levels: Uint16Array }>()
    expectTypeOf(q.encode).returns.toEqualTypeOf<{ codes: Uint8Array; scale: number }>()
    expectTypeOf(q.decode).toEqualTypeOf<(codes: Uint8Array, scale: number, n: number) => Float32Array>()
    expectTypeOf(pyramidion.pvq).returns.toExtend<pyramidion.Quantizer>()
    expectTypeOf(pyramidion.integer).returns.toExtend<pyramidion.Quantizer>()
    expectTypeOf(pyramidion.mxint).returns.toExtend<pyramidion.Quantizer>()
    expectTypeOf(pyramidion.pvq).parameter(0).toEqualTypeOf<pyramidion.PvqCodeOptions | pyramidion.PvqRateOptions>()
    // @ts-expect-error A code has all three of dimension, pulses and levels.
    assert.throws(() => pyramidion.pvq({ dimension: 16, pulses: 24 }), { code: 'INVALID_ARGUMENT' })
  })

  it('quantizes a matrix to a layer', () => {
    expectTypeOf(pyramidion.quantizeLinear).returns.toEqualTypeOf<Promise<pyramidion.QuantizedLinear>>()
    expectTypeOf<pyramidion.QuantizedLinear['forward']>().toEqualTypeOf<
      (x: Float32Array, tokens?: number) => Float32Array
    >()
    expectTypeOf<pyramidion.QuantizedLinear['forwardAsync']>().returns.toEqualTypeOf<Promise<Float32Array>>()
    expectTypeOf<pyramidion.QuantizedLinear['bitsPerWeight']>().toEqualTypeOf<number>()
    expectTypeOf<pyramidion.QuantizeLinearOptions>().toExtend<{ bits?: number; hessian?: pyramidion.Hessian }>()
    expectTypeOf<pyramidion.LowRankOptions>().toEqualTypeOf<{
      method: 'lqer' | 'l2qer' | 'qera'
      rank: number | 'auto'
      refits?: number
    }>()
    assert.equal(typeof pyramidion.quantizeLinear, 'function')
  })

  it('quantizes, loads, runs and measures a model', () => {
    expectTypeOf(pyramidion.quantizeModel).parameter(0).toEqualTypeOf<string>()
    expectTypeOf(pyramidion.quantizeModel).returns.resolves.toEqualTypeOf<pyramidion.QuantizeModelResult>()
    expectTypeOf(pyramidion.loadModel).returns.resolves.toEqualTypeOf<pyramidion.Model>()
    expectTypeOf<pyramidion.Model>().toExtend<AsyncDisposable>()
    expectTypeOf<pyramidion.Model['generate']>().returns.toExtend<AsyncIterable<string>>()
    expectTypeOf<pyramidion.Model['chat']>().returns.toExtend<AsyncIterable<string>>()
    expectTypeOf(pyramidion.evaluate).returns.resolves.toEqualTypeOf<pyramidion.Evaluation>()
    expectTypeOf<pyramidion.Evaluation['perplexity']>().toEqualTypeOf<number>()
    assert.equal(typeof pyramidion.evaluate, 'function')
  })

  it('has one error class, with a code', () => {
    const error = new pyramidion.PyramidionError('EMPTY', 'text has nothing in it')
    expectTypeOf(error.code).toEqualTypeOf<pyramidion.ErrorCode>()
    expectTypeOf<'NOT_FINITE'>().toExtend<pyramidion.ErrorCode>()
    expectTypeOf<'OOPS'>().not.toExtend<pyramidion.ErrorCode>()
    assert.ok(error instanceof Error)
    assert.equal(error.code, 'EMPTY')
  })

  it('is exactly this', () => {
    assert.deepEqual(Object.keys(pyramidion).sort(), [
      'Hessian',
      'PyramidionError',
      'QuantizedLinear',
      'capabilities',
      'devices',
      'errorStatistics',
      'evaluate',
      'inspectModel',
      'integer',
      'layerErrors',
      'loadModel',
      'mxint',
      'openModel',
      'pvq',
      'quantizeLinear',
      'quantizeModel',
      'setThreadCount',
    ])
  })
})
