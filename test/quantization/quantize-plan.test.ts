import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import type { ModelSource } from '../../dist/checkpoint/model-source.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { RandomSource } from '../../dist/model/random-source.js'
import { type PlanSettings, planTensors, sizeOf, type TensorPlan } from '../../dist/quantization/quantize-plan.js'
import { parseSize } from '../../dist/quantization/size-option.js'
import { planForSize, plannedBytes } from '../../dist/quantization/size-plan.js'
import { expectError } from '../checkpoint/expect-error.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
const settings = { quantizer: 'pvq', lattice: 'integer', rank: 0, rotationSeed: 0 } as const

const linearRate = (plan: TensorPlan[]) => {
  const linear = plan.filter(({ role }) => role === 'linear')
  const bits = linear.reduce((sum, { target }) => sum + target!.bits, 0)
  return bits / linear.reduce((sum, tensor) => sum + sizeOf(tensor), 0)
}

describe('the plan of a model', () => {
  let source: ModelSource
  let coefficients: Map<string, number>
  const seed = 71
  before(async () => {
    source = await openModel(tales)
    const random = new RandomSource(seed)
    coefficients = new Map(
      planTensors(source.config, { ...settings, bits: 3 })
        .filter(({ role }) => role === 'linear')
        .map(tensor => [tensor.name, sizeOf(tensor) * 10 ** (2 * random.next())]),
    )
  })
  after(() => source.close())

  it('lands within 0.005 bit of the rate and not above, allocated or not, corrections counted', () => {
    for (const rank of [0, 4] as const) {
      for (const bits of [2, 2.5, 3, 3.25, 4, 5.1]) {
        const uniform = linearRate(planTensors(source.config, { ...settings, rank, bits }))
        assert.ok(Math.abs(uniform - bits) < 0.005, `${bits} bits, rank ${rank}: ${uniform}`)
        const allocated = linearRate(planTensors(source.config, { ...settings, rank, bits }, coefficients))
        assert.ok(allocated <= bits && allocated > bits - 0.005, `${bits} bits, rank ${rank}: ${allocated}`)
      }
    }
  })

  it('stores what a layer is given, and says what it is expected to lose', () => {
    const plan = planTensors(source.config, { ...settings, bits: 3 }, coefficients)
    for (const { role, name, shape, target } of plan) {
      if (role !== 'linear') continue
      assert.equal(target!.quantizer!.storedBits(shape[0], shape[1]), target!.bits)
      assert.ok(target!.expectedLoss! > 0 && target!.expectedLoss! < coefficients.get(name)!)
    }
  })

  it('is expected to lose less than equal rates', () => {
    const loss = (given: Map<string, number>) =>
      planTensors(source.config, { ...settings, bits: 3 }, given)
        .filter(({ role }) => role === 'linear')
        .reduce(
          (sum, { name, target }) => sum + (target!.expectedLoss! / given.get(name)!) * coefficients.get(name)!,
          0,
        )
    const allocated = loss(coefficients)
    const equal = loss(new Map([...coefficients].map(([name]) => [name, 1])))
    assert.ok(allocated < 0.9 * equal, `seed ${seed}: ${allocated}, at equal rates ${equal}`)
  })

  it('leaves the rates of embedding and vectors alone', () => {
    const plan = (extra: Partial<PlanSettings>) =>
      planTensors(source.config, { ...settings, bits: 3, ...extra }, coefficients).filter(
        ({ role }) => role !== 'linear',
      )
    assert.ok(plan({}).every(({ target }) => target === undefined))
    const [embedding, ...others] = plan({ embeddingBits: 6 })
    assert.ok(Math.abs(embedding.target!.bits / sizeOf(embedding) - 6) < 0.01)
    assert.ok(others.every(({ target }) => target === undefined))
  })

  it('meets a size from below, header included, within 0.5 %', () => {
    for (const size of [1_400_000, 2_000_000, 3_333_333]) {
      for (const known of [undefined, coefficients]) {
        for (const rank of [0, 8] as const) {
          const { plan } = planForSize(source, { ...settings, rank }, size, known)
          const bytes = plannedBytes(source, plan, 0)
          assert.ok(bytes <= size && bytes > 0.995 * size, `${size} with rank ${rank}: ${bytes}`)
        }
      }
    }
  })

  it('gives embedding and head 2 bits more than the linear layers when a size is asked for', () => {
    const embedding = ({ plan }: { plan: TensorPlan[] }) => plan[0].target!.bits / sizeOf(plan[0])
    const planned = planForSize(source, settings, 2_000_000)
    assert.ok(Math.abs(embedding(planned) - linearRate(planned.plan) - 2) < 0.02)
    const asked = planForSize(source, { ...settings, embeddingBits: 4 }, 2_000_000)
    assert.ok(Math.abs(embedding(asked) - 4) < 0.01)
    assert.ok(linearRate(asked.plan) > linearRate(planned.plan))
  })

  it('says which sizes are possible', async () => {
    await expectError(
      () => planForSize(source, settings, 500_000),
      'RATE_OUT_OF_RANGE',
      /from \d+ \(\d+\.\d+ kB\) to \d+/,
    )
    await expectError(() => planForSize(source, settings, 9_000_000), 'RATE_OUT_OF_RANGE', /got 9000000/)
  })

  it('refuses a rank that a layer cannot have', async () => {
    const plan = () => planTensors(source.config, { ...settings, bits: 3, rank: 300 }, coefficients)
    await expectError(plan, 'INVALID_ARGUMENT', /rank must be at most/)
  })
})

describe('a size', () => {
  it('is a number of bytes or a text with a unit', () => {
    assert.equal(parseSize(60_000_000), 60_000_000)
    assert.equal(parseSize('123'), 123)
    assert.equal(parseSize('60MB'), 60_000_000)
    assert.equal(parseSize('60MiB'), 60 * 2 ** 20)
    assert.equal(parseSize(' 1.5 gb '), 1_500_000_000)
    assert.equal(parseSize('2KiB'), 2048)
  })

  it('is refused when it is anything else', async () => {
    for (const size of [
      0,
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      '',
      'MB',
      '60 elephants',
      '-3MB',
      '0.1B',
      '1e9',
    ]) {
      await expectError(() => parseSize(size), 'INVALID_ARGUMENT', /size must be/)
    }
  })
})
