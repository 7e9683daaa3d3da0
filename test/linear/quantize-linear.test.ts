import assert from 'node:assert/strict'
import {
  Hessian,
  integer,
  type Lattice,
  type LowRankOptions,
  mxint,
  type PvqWeights,
  pvq,
  QuantizedLinear,
  quantizeLinear,
} from '../../dist/index.js'
import { encodeLinear } from '../../dist/linear/encode-linear.js'
import { RandomSource } from '../../dist/model/random-source.js'
import type { GuideSettings } from '../../dist/native.js'
import { expectError } from '../checkpoint/expect-error.js'
import { longestPause } from '../model/longest-pause.js'
import { randomNormal } from '../model/random-normal.js'

/** A weight matrix with a few columns far larger than the rest, as real ones have, and inputs with a few loud channels. */
function layer(seed: number, outFeatures: number, inFeatures: number, tokens: number) {
  const random = new RandomSource(seed)
  const weight = randomNormal(random, outFeatures * inFeatures, 0.02)
  for (let i = 0; i < weight.length; i += 1) if (i % inFeatures === 3) weight[i] *= 8
  const x = randomNormal(random, tokens * inFeatures)
  for (let t = 0; t < tokens; t++) {
    const common = 6 * (random.next() - 0.5)
    for (let i = 0; i < inFeatures; i += 5) x[t * inFeatures + i] = 4 * common + 0.3 * x[t * inFeatures + i]
  }
  return { weight, x }
}

/** y = W x + b in double. */
function dense(weight: Float32Array, x: Float32Array, inFeatures: number, bias?: Float32Array): Float64Array {
  const outFeatures = weight.length / inFeatures
  const tokens = x.length / inFeatures
  const y = new Float64Array(tokens * outFeatures)
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < outFeatures; r++) {
      let sum = bias?.[r] ?? 0
      for (let i = 0; i < inFeatures; i++) sum += weight[r * inFeatures + i] * x[t * inFeatures + i]
      y[t * outFeatures + r] = sum
    }
  }
  return y
}

/** Sum of squared differences over the sum of squares. */
function relativeError(expected: ArrayLike<number>, actual: ArrayLike<number>): number {
  let squares = 0
  let errors = 0
  for (let i = 0; i < expected.length; i++) {
    squares += expected[i] ** 2
    errors += (expected[i] - actual[i]) ** 2
  }
  return errors / squares
}

describe('quantizeLinear', () => {
  it('rounds for the inputs that the statistics describe', async () => {
    const [outFeatures, inFeatures, tokens] = [70, 208, 400]
    const { weight, x } = layer(9, outFeatures, inFeatures, tokens)
    const hessian = new Hessian(inFeatures)
    hessian.add(x, tokens)
    const expected = dense(weight, x, inFeatures)
    for (const rotation of ['hadamard', 'none'] as const) {
      const error = async (options: { hessian?: Hessian; lattice?: Lattice }) => {
        const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, { bits: 3, rotation, ...options })
        return relativeError(expected, linear.forward(x, tokens))
      }
      const [plain, guided] = [await error({}), await error({ hessian })]
      assert.ok(guided < 0.5 * plain, `${rotation}: ${plain} plain, ${guided} calibrated`)
      const barnesWall = await error({ hessian, lattice: 'barnes-wall' })
      assert.ok(barnesWall < 0.97 * guided, `${rotation}: ${barnesWall} on the Barnes-Wall lattice, ${guided} without`)
    }
  })

  it('rounds otherwise where a setting of guided rounding differs', async () => {
    const [outFeatures, inFeatures, tokens] = [24, 64, 200]
    const { weight, x } = layer(17, outFeatures, inFeatures, tokens)
    const hessian = new Hessian(inFeatures)
    hessian.add(x, tokens)
    const data = new Uint8Array(weight.buffer)
    const codes = async (guide: Partial<GuideSettings>) => {
      const options = { quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }), rotationSeed: null, hessian, guide }
      const { stored } = await encodeLinear({ format: 'f32', rows: outFeatures, columns: inFeatures, data }, options)
      return Buffer.from((stored.weights as PvqWeights).codes)
    }
    const usual = await codes({})
    assert.ok((await codes({ feedback: true, ordered: true })).equals(usual))
    for (const guide of [{ feedback: false }, { ordered: false }, { moves: 0 }, { sweeps: 0 }, { ridge: 0.5 }]) {
      assert.ok(!(await codes(guide)).equals(usual), JSON.stringify(guide))
    }
  })

  it('stores what was asked for to within 0.01 bit a weight, corrections included', async () => {
    const [outFeatures, inFeatures] = [90, 640]
    const { weight, x } = layer(1, outFeatures, inFeatures, 100)
    const hessian = new Hessian(inFeatures)
    hessian.add(x, 100)
    for (const bits of [1.5, 2.5, 3.25, 4.06, 6]) {
      for (const rank of [0, 1, 3, 'auto'] as const) {
        const lowRank = { method: 'qera' as const, rank }
        const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, { bits, hessian, lowRank })
        assert.ok(Math.abs(linear.bitsPerWeight - bits) < 0.01, `${bits}, rank ${rank}: ${linear.bitsPerWeight}`)
        if (rank !== 'auto') assert.equal(linear.rank, rank)
        const bytes = Object.values(linear.tensors()).reduce((sum, part) => sum + part.length, 0)
        assert.equal(linear.bitsPerWeight, (8 * bytes) / (outFeatures * inFeatures))
      }
    }
  })

  for (const [outFeatures, inFeatures] of [
    [1, 64],
    [5, 77],
    [33, 100],
    [64, 576],
    [7, 257],
    [40, 172],
  ]) {
    it(`runs a ${outFeatures} x ${inFeatures} layer as the dense product of its effective matrix`, async () => {
      const seed = 2
      const tokens = 5
      const { weight, x } = layer(seed, outFeatures, inFeatures, tokens)
      const bias = randomNormal(new RandomSource(3), outFeatures)
      for (const quantizer of [pvq({ bits: 4 }), pvq({ bits: 2.3 }), integer({ bits: 4 }), mxint({ bits: 5 })]) {
        for (const rotation of ['hadamard', 'none'] as const) {
          for (const rank of [0, 1]) {
            const options = { quantizer, rotation, bias, lowRank: { method: 'lqer' as const, rank } }
            const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, options)
            const effective = linear.dequantize()
            assert.deepEqual(await linear.dequantizeAsync(), effective)
            const expected = dense(effective, x, inFeatures, bias)
            const what = `seed ${seed}, ${quantizer.name}, ${rotation}, rank ${rank}`
            assert.ok(relativeError(expected, linear.forward(x, tokens)) < 1e-4, what)
            assert.ok(relativeError(expected, await linear.forwardAsync(x, tokens)) < 1e-4, what)
            const one = linear.forward(x.subarray(inFeatures, 2 * inFeatures))
            assert.ok(relativeError(expected.slice(outFeatures, 2 * outFeatures), one) < 1e-4, what)
          }
        }
      }
    })
  }

  it('comes close to the original, closer with every bit', async () => {
    const [outFeatures, inFeatures] = [64, 576]
    const { weight } = layer(4, outFeatures, inFeatures, 1)
    const errors: number[] = []
    for (const bits of [1.5, 2, 3, 4, 6, 8]) {
      const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, { bits })
      errors.push(relativeError(weight, linear.dequantize()))
    }
    assert.ok(
      errors.every((error, i) => i === 0 || error < errors[i - 1] / 1.5),
      errors.join(', '),
    )
    // The rotation makes any matrix Gaussian: 3 bits leave 0.025 of a Gaussian, a little more in small matrices.
    assert.ok(errors[2] < 0.03, `${errors[2]} at 3 bits`)
  })

  it('corrects output errors with calibration, the better the method', async () => {
    const seed = 5
    const [outFeatures, inFeatures, tokens] = [96, 192, 300]
    const { weight, x } = layer(seed, outFeatures, inFeatures, tokens)
    const hessian = new Hessian(inFeatures)
    hessian.add(x, tokens)
    const exact = dense(weight, x, inFeatures)
    const outputError = async (lowRank?: LowRankOptions) => {
      const linear = await quantizeLinear(
        weight,
        { outFeatures, inFeatures },
        { bits: 3, hessian, rounding: 'nearest', lowRank },
      )
      return relativeError(exact, linear.forward(x, tokens))
    }
    const control = await outputError()
    const qera = await outputError({ method: 'qera', rank: 4 })
    const automatic = await outputError({ method: 'qera', rank: 'auto' })
    assert.ok(qera < control / 2, `seed ${seed}: rank 4 ${qera}, none ${control}`)
    assert.ok(automatic <= qera * 1.05, `seed ${seed}: auto ${automatic}, rank 4 ${qera}`)
    const asInThePapers = (method: 'lqer' | 'l2qer' | 'qera') => outputError({ method, rank: 4, refits: 0 })
    const [first, second, third] = [
      await asInThePapers('lqer'),
      await asInThePapers('l2qer'),
      await asInThePapers('qera'),
    ]
    assert.ok(third < second && second < first, `seed ${seed}: lqer ${first}, l2qer ${second}, qera ${third}`)
  })

  it('makes codes and factors for each other', async () => {
    const seed = 12
    const random = new RandomSource(seed)
    const [outFeatures, inFeatures, tokens, rank] = [80, 192, 500, 4]
    // Half of the weights' energy is of low rank, as the leading singular vectors of real matrices are.
    const [left, right] = [randomNormal(random, outFeatures * rank), randomNormal(random, rank * inFeatures, 0.5)]
    const weight = randomNormal(random, outFeatures * inFeatures).map((value, i) => {
      const [row, column] = [Math.floor(i / inFeatures), i % inFeatures]
      for (let k = 0; k < rank; k++) value += left[row * rank + k] * right[k * inFeatures + column]
      return value
    })
    const { x } = layer(seed, 1, inFeatures, tokens)
    const hessian = new Hessian(inFeatures)
    hessian.add(x, tokens)
    const exact = dense(weight, x, inFeatures)
    for (const rounding of ['nearest', 'guided'] as const) {
      const errors: number[] = []
      for (const refits of [0, 1, 4]) {
        const lowRank = { method: 'qera' as const, rank, refits }
        const options = { bits: 4, hessian, rounding, lowRank }
        const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, options)
        assert.equal(linear.rank, rank)
        errors.push(relativeError(exact, linear.forward(x, tokens)))
      }
      const [never, once, often] = errors
      assert.ok(once < 0.8 * never && often < once, `seed ${seed}, ${rounding}: ${errors}`)
    }
  })

  it('takes the factors off matrices that are coded in several pieces, the last of fewer rows than the rank', async () => {
    const [outFeatures, inFeatures, rank] = [515, 4096, 5]
    const random = new RandomSource(13)
    const [left, right] = [randomNormal(random, outFeatures), randomNormal(random, inFeatures)]
    const weight = randomNormal(random, outFeatures * inFeatures, 0.1)
    for (let i = 0; i < weight.length; i++) weight[i] += left[Math.floor(i / inFeatures)] * right[i % inFeatures]
    const lowRank = { method: 'lqer' as const, rank }
    const linear = await quantizeLinear(weight, { outFeatures, inFeatures }, { bits: 2.5, lowRank })
    const effective = await linear.dequantizeAsync()
    // What is left to code has a hundredth of the energy, and codes of 2.4 bits leave 0.06 of it.
    for (const [first, end] of [
      [0, 3],
      [512, 515],
    ]) {
      const rows = (values: Float32Array) => values.subarray(first * inFeatures, end * inFeatures)
      const error = relativeError(rows(weight), rows(effective))
      assert.ok(error < 0.01, `rows ${first} to ${end}: ${error}`)
    }
  })

  it('decides against a correction that costs more than it brings', async () => {
    const weight = randomNormal(new RandomSource(6), 64 * 256)
    const lowRank = { method: 'lqer' as const, rank: 'auto' as const }
    const linear = await quantizeLinear(weight, { outFeatures: 64, inFeatures: 256 }, { bits: 3, lowRank })
    assert.equal(linear.rank, 0)
  })

  it('is the same every time, and depends on the seed', async () => {
    const { weight } = layer(7, 16, 96, 1)
    const shape = { outFeatures: 16, inFeatures: 96 }
    const tensors = async (seed: number) => (await quantizeLinear(weight, shape, { bits: 3, seed })).tensors()
    assert.deepEqual(await tensors(1), await tensors(1))
    assert.notDeepEqual(await tensors(1), await tensors(2))
  })

  it('takes a view into a larger array and leaves it as it was', async () => {
    const { weight } = layer(8, 10, 64, 1)
    const larger = new Float32Array(10 * 64 + 7)
    larger.set(weight, 5)
    const copy = larger.slice()
    const shape = { outFeatures: 10, inFeatures: 64 }
    const linear = await quantizeLinear(larger.subarray(5, 5 + 640), shape, { bits: 4 })
    assert.deepEqual(linear.tensors(), (await quantizeLinear(weight, shape, { bits: 4 })).tensors())
    assert.deepEqual(larger, copy)
  })

  it('leaves the event loop free', async () => {
    const shape = { outFeatures: 1024, inFeatures: 2048 }
    const weight = randomNormal(new RandomSource(9), shape.outFeatures * shape.inFeatures)
    const { pause, elapsed } = await longestPause(() => quantizeLinear(weight, shape, { bits: 3 }))
    assert.ok(pause < Math.max(200, elapsed / 2), `the event loop stood still for ${pause} of ${elapsed} ms`)
  })

  it('reports progress, and stops when its signal fires', async () => {
    const shape = { outFeatures: 2000, inFeatures: 1024 }
    const weight = randomNormal(new RandomSource(10), shape.outFeatures * shape.inFeatures)
    const reports: number[] = []
    await quantizeLinear(weight, shape, { bits: 3, onProgress: ({ done, total }) => reports.push(done / total) })
    assert.equal(reports.at(-1), 1)
    const controller = new AbortController()
    const work = quantizeLinear(weight, shape, { bits: 3, signal: controller.signal })
    setTimeout(() => controller.abort(), 5)
    await expectError(() => work, 'ABORTED', /aborted/)
  })

  it('refuses what cannot be quantized before any work starts', async () => {
    const shape = { outFeatures: 4, inFeatures: 64 }
    const weight = new Float32Array(256).fill(1)
    const hessian = new Hessian(64)
    const attempt = (options: object, matrix = weight, of = shape) =>
      quantizeLinear(matrix, of, options as { bits: number })
    const broken = weight.slice()
    broken[130] = Number.NaN
    const cases: [() => unknown, Parameters<typeof expectError>[1], RegExp][] = [
      [() => attempt({}), 'INVALID_ARGUMENT', /either bits or quantizer/],
      [() => attempt({ bits: 3, quantizer: pvq({ bits: 3 }) }), 'INVALID_ARGUMENT', /either bits or quantizer/],
      [() => attempt({ bits: 0.5 }), 'RATE_OUT_OF_RANGE', /bits must be between 1 and 8, got 0.5/],
      [() => attempt({ bits: Number.NaN }), 'RATE_OUT_OF_RANGE', /bits must be/],
      [() => attempt({ bits: 3 }, new Float32Array(0)), 'EMPTY', /weight has no values/],
      [() => attempt({ bits: 3 }, new Float32Array(255)), 'INVALID_SHAPE', /weight must have 4 x 64 = 256/],
      [() => attempt({ bits: 3 }, broken), 'NOT_FINITE', /weight must be finite, got NaN in row 2, column 2/],
      [() => attempt({ bits: 3, seed: -1 }), 'INVALID_ARGUMENT', /seed/],
      [() => attempt({ bits: 3, rotation: 'dct' }), 'INVALID_ARGUMENT', /rotation/],
      [() => attempt({ bits: 3, lattice: 'leech' }), 'INVALID_ARGUMENT', /lattice must be integer or barnes-wall/],
      [
        () => attempt({ quantizer: pvq({ bits: 3 }), lattice: 'barnes-wall' }),
        'INVALID_ARGUMENT',
        /lattice needs bits, not quantizer/,
      ],
      [() => attempt({ bits: 3, bias: new Float32Array(3) }), 'INVALID_SHAPE', /bias must have 4 values, got 3/],
      [() => attempt({ bits: 3, lowRank: { method: 'qera', rank: 1 } }), 'CALIBRATION_REQUIRED', /qera/],
      [() => attempt({ bits: 3, lowRank: { method: 'svd', rank: 1 } }), 'INVALID_ARGUMENT', /lowRank.method/],
      [
        () => attempt({ bits: 3, lowRank: { method: 'lqer', rank: 5 } }),
        'INVALID_ARGUMENT',
        /lowRank.rank .* 4, got 5/,
      ],
      [() => attempt({ bits: 3, lowRank: { method: 'lqer', rank: 4 } }), 'RATE_OUT_OF_RANGE', /./],
      [
        () => attempt({ bits: 3, rounding: 'up' as never }),
        'INVALID_ARGUMENT',
        /rounding must be guided or nearest, got up/,
      ],
      [() => attempt({ bits: 3, hessian }), 'EMPTY', /hessian has seen no inputs/],
      [() => attempt({ bits: 3, hessian: new Hessian(63) }), 'INVALID_SHAPE', /hessian must have the 64/],
    ]
    for (const [action, code, message] of cases) await expectError(action, code, message)
  })
})

describe('QuantizedLinear', () => {
  it('comes back from its tensors unchanged', async () => {
    const { weight, x } = layer(11, 24, 144, 3)
    const bias = randomNormal(new RandomSource(12), 24)
    for (const quantizer of [
      pvq({ bits: 3.3 }),
      pvq({ bits: 3.3, lattice: 'barnes-wall' }),
      integer({ bits: 3, symmetric: true }),
      integer({ bits: 2 }),
      mxint({ bits: 4 }),
    ]) {
      const options = { quantizer, bias, lowRank: { method: 'lqer' as const, rank: 2 } }
      const linear = await quantizeLinear(weight, { outFeatures: 24, inFeatures: 144 }, options)
      const again = await QuantizedLinear.fromTensors(linear.metadata, linear.tensors(), bias)
      assert.deepEqual(again.metadata, linear.metadata)
      assert.deepEqual(again.tensors(), linear.tensors())
      assert.deepEqual(again.forward(x, 3), linear.forward(x, 3))
      assert.ok(linear.memoryBytes > 0)
    }
  })

  it('refuses tensors that contradict the metadata or themselves', async () => {
    const { weight } = layer(13, 8, 64, 1)
    const linear = await quantizeLinear(weight, { outFeatures: 8, inFeatures: 64 }, { bits: 3 })
    const { metadata } = linear
    const tensors = linear.tensors()
    const attempt = (changed: object, of: object = metadata) =>
      QuantizedLinear.fromTensors(of as typeof metadata, { ...tensors, ...changed })
    await expectError(() => attempt({ codes: tensors.codes.slice(1) }), 'INVALID_SHAPE', /tensors.codes must have/)
    await expectError(() => attempt({ levels: undefined }), 'INVALID_SHAPE', /tensors.levels .* got none/)
    await expectError(() => attempt({ codes: tensors.codes.map(() => 255) }), 'INVALID_FILE', /codes/)
    await expectError(() => attempt({ row_scale: tensors.row_scale.map(() => 255) }), 'INVALID_FILE', /not finite/)
    await expectError(() => attempt({ levels: tensors.levels.map(() => 0) }), 'INVALID_FILE', /levels/)
    await expectError(() => attempt({}, { ...metadata, columns: 65 }), 'INVALID_FILE', /segments/)
    await expectError(() => attempt({}, { ...metadata, format: 'gptq' }), 'UNSUPPORTED_FORMAT', /gptq/)
  })

  it('refuses inputs of another shape or that are not finite', async () => {
    const { weight } = layer(14, 8, 64, 1)
    const linear = await quantizeLinear(weight, { outFeatures: 8, inFeatures: 64 }, { bits: 3 })
    await expectError(() => linear.forward(new Float32Array(63)), 'INVALID_SHAPE', /x must have 1 x 64 = 64/)
    await expectError(() => linear.forward(new Float32Array(64), 2), 'INVALID_SHAPE', /x must have 2 x 64/)
    await expectError(() => linear.forward(new Float32Array(64).fill(Infinity)), 'NOT_FINITE', /x must be finite/)
    await expectError(() => linear.forwardAsync(new Float32Array(0), 0), 'EMPTY', /x has no values/)
  })

  it('is of no use once disposed', async () => {
    const { weight } = layer(15, 8, 64, 1)
    const linear = await quantizeLinear(weight, { outFeatures: 8, inFeatures: 64 }, { bits: 3 })
    const pending = linear.forwardAsync(new Float32Array(64).fill(1))
    linear.dispose()
    linear.dispose()
    assert.equal((await pending).length, 8)
    await expectError(() => linear.forward(new Float32Array(64)), 'DISPOSED', /disposed/)
    await expectError(() => linear.tensors(), 'DISPOSED', /disposed/)
  })
})
