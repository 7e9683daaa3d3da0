import { strict as assert } from 'node:assert'
import {
  PyramidionError,
  pvq,
  type QuantizedLinear,
  type QuantizeLinearOptions,
  quantizeLinear,
} from '../../../dist/index.js'
import { RandomSource } from '../../../dist/model/random-source.js'
import { randomNormal } from '../../model/random-normal.js'
import { needSimulatedDevice, runWithDriver, valueWithDriver } from './simulated-device.js'

const seed = Math.floor(Math.random() * 2 ** 31)
const source = new RandomSource(seed)
const random = (length: number) => randomNormal(source, length)

/** Layers of the same weights, coded by the processor and on the device. */
async function pair(
  outFeatures: number,
  inFeatures: number,
  options: QuantizeLinearOptions,
): Promise<[QuantizedLinear, QuantizedLinear]> {
  const weight = random(outFeatures * inFeatures)
  const shape = { outFeatures, inFeatures }
  return [
    await quantizeLinear(weight, shape, options),
    await quantizeLinear(weight, shape, { ...options, device: 'cuda' }),
  ]
}

function assertSameTensors(device: QuantizedLinear, host: QuantizedLinear): void {
  assert.equal(device.device, 'cuda')
  assert.deepEqual(device.tensors(), host.tensors(), `seed ${seed}`)
}

describe('codes made on a device', function () {
  this.timeout(300_000)
  before(async function () {
    await needSimulatedDevice(this)
  })

  const codes: [string, QuantizeLinearOptions][] = [
    ['groups of 8', { quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }) }],
    ['groups of 16, padded', { quantizer: pvq({ dimension: 16, pulses: 24, levels: 7 }) }],
    ['two segments', { bits: 2.9 }],
  ]
  for (const [name, options] of codes) {
    it(`are the processor's bytes: ${name}`, async () => {
      assertSameTensors(...((await pair(9, 90, options)).reverse() as [QuantizedLinear, QuantizedLinear]))
    })
  }

  it('report progress and stop when asked to', async () => {
    const shape = { outFeatures: 4, inFeatures: 32 }
    const options: QuantizeLinearOptions = { bits: 3, device: 'cuda' }
    const seen: number[] = []
    await quantizeLinear(random(128), shape, { ...options, onProgress: ({ done }) => seen.push(done) })
    assert.equal(seen.at(-1), 4)
    const signal = AbortSignal.abort()
    await assert.rejects(quantizeLinear(random(128), shape, { ...options, signal }), { code: 'ABORTED' })
  })

  it('need a code with kernels, and are the processor\'s under auto, said once', async () => {
    const shape = { outFeatures: 4, inFeatures: 32 }
    for (const options of [
      { quantizer: pvq({ dimension: 4, pulses: 6, levels: 4 }) },
      { quantizer: pvq({ dimension: 16, pulses: 40, levels: 8, lattice: 'barnes-wall' }) },
    ] satisfies QuantizeLinearOptions[]) {
      const weight = random(128)
      await assert.rejects(quantizeLinear(weight, shape, { ...options, device: 'cuda' }), (error: unknown) => {
        assert.ok(error instanceof PyramidionError)
        assert.equal(error.code, 'UNSUPPORTED_FORMAT')
        return true
      })
      const warnings: string[] = []
      const layer = await quantizeLinear(weight, shape, {
        ...options,
        device: 'auto',
        onWarning: message => warnings.push(message),
      })
      assert.deepEqual(layer.tensors(), (await quantizeLinear(weight, shape, options)).tensors())
      assert.equal(warnings.length, 1)
      assert.match(warnings[0], /^a layer is left to the processor: no CUDA kernel knows groups of (4|16 on the Barnes)/)
    }
  })

  const weights = 'Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i * i))'
  const encode = (options: string) => `library.pvq({ bits: 3 }).encodeRowsAsync(${weights}, 64, 64, ${options})`

  for (const fault of ['cuMemAlloc_v2=2', 'cuMemAllocHost_v2=2']) {
    it(`say so when ${fault}, and can be had later`, () => {
      const [failed, length] = valueWithDriver(
        {},
        `process.env.MOCK_CUDA_FAIL = '${fault}'
         const failed = await failure(${encode('{ onGpu: true }')})
         delete process.env.MOCK_CUDA_FAIL
         const short = { ...await ${encode('{ onGpu: true }')} }
         report([failed, short.rowScale.length])`,
      ) as [{ code: string }, number]
      assert.equal(failed.code, 'OUT_OF_MEMORY')
      assert.equal(length, 64)
    })
  }
})
