import { strict as assert } from 'node:assert'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  Hessian,
  type PvqQuantizer,
  PyramidionError,
  pvq,
  type QuantizedLinear,
  type QuantizeLinearOptions,
  type QuantizeModelOptions,
  quantizeLinear,
  quantizeModel,
} from '../../../dist/index.js'
import { encodeCodes } from '../../../dist/linear/encode-linear.js'
import { EncodingDevice } from '../../../dist/linear/encoding-device.js'
import { OutputWeights } from '../../../dist/linear/output-weights.js'
import { RandomSource } from '../../../dist/model/random-source.js'
import type { DenseWeights } from '../../../dist/native.js'
import { randomNormal } from '../../model/random-normal.js'
import { randomTensors, tinyConfig, withCheckpoint } from '../../model/tiny-checkpoint.js'
import { needDevice, needSimulatedDevice, runWithDriver, valueWithDriver } from './driver.js'

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
    await needDevice(this)
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

  it("need a code with kernels, and are the processor's under auto, said once", async () => {
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
      assert.match(
        warnings[0],
        /^a layer is left to the processor: no CUDA kernel knows groups of (4|16 on the Barnes)/,
      )
    }
  })

  const weights = 'Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i * i))'
  const encode = (options: string) => `library.pvq({ bits: 3 }).encodeRowsAsync(${weights}, 64, 64, ${options})`

  for (const fault of ['cuMemAlloc_v2=2', 'cuMemAllocHost_v2=2']) {
    it(`say so when ${fault}, and can be had later`, async function () {
      await needSimulatedDevice(this)
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

describe('codes rounded for the outputs on a device', function () {
  this.timeout(300_000)
  before(async function () {
    await needDevice(this)
  })

  const device = EncodingDevice.forLayer({ device: 'cuda' }, 'cuda')
  const moments = (width: number): Float64Array => {
    const hessian = new Hessian(width)
    // Inputs that depend on each other.
    const x = random(2 * width * width)
    for (let i = 1; i < x.length; i++) x[i] += 0.5 * x[i - 1]
    hessian.add(x, 2 * width)
    return hessian.mean()
  }

  const codes: [string, PvqQuantizer, number, number][] = [
    ['groups of 8', pvq({ dimension: 8, pulses: 12, levels: 7 }), 3, 32],
    ['groups of 16, padded', pvq({ dimension: 16, pulses: 24, levels: 7 }), 5, 70],
    ['two segments', pvq({ bits: 2.9 }), 3, 96],
  ]
  for (const [name, quantizer, rows, columns] of codes) {
    it(`are the processor's: ${name}`, async () => {
      const data = new Uint8Array(random(rows * columns).fill(0, columns, 2 * columns).buffer)
      const weight: DenseWeights = { format: 'f32', rows, columns, data }
      const options = { quantizer, rotationSeed: null, metric: moments(columns) }
      const host = await encodeCodes(weight, options, false)
      assert.deepEqual(await encodeCodes(weight, { ...options, device }, false), host, `seed ${seed}`)
    })
  }

  it("are the processor's with rows weighed together, and without feedback", async () => {
    const [rows, columns] = [40, 16]
    const weight: DenseWeights = { format: 'f32', rows, columns, data: new Uint8Array(random(rows * columns).buffer) }
    const quantizer = pvq({ dimension: 8, pulses: 9, levels: 3 })
    const common = { quantizer, rotationSeed: 3, metric: moments(columns) }
    for (const options of [
      { ...common, outputWeights: new OutputWeights(moments(rows), rows), guide: { sweeps: 1 } },
      { ...common, guide: { feedback: false, sweeps: 1 } },
    ]) {
      const host = await encodeCodes(weight, options, false)
      assert.deepEqual(await encodeCodes(weight, { ...options, device }, false), host, `seed ${seed}`)
    }
  })

  it('stop when they are asked to', async function () {
    // A GPU would be done before.
    await needSimulatedDevice(this)
    const data = new Uint8Array(random(5 * 70).buffer)
    const quantizer = pvq({ dimension: 16, pulses: 24, levels: 7 })
    const options = { quantizer, rotationSeed: null, metric: moments(70), device, signal: AbortSignal.timeout(40) }
    await assert.rejects(encodeCodes({ format: 'f32', rows: 5, columns: 70, data }, options, false), {
      code: 'ABORTED',
    })
  })

  it('need memory: said so, or under auto the processor rounds', async function () {
    await needSimulatedDevice(this)
    const quantize = (choice: string) => `library.quantizeLinear(
      Float32Array.from({ length: 512 }, (_, i) => Math.sin(i * i)), { outFeatures: 8, inFeatures: 64 },
      { quantizer: library.pvq({ dimension: 8, pulses: 12, levels: 7 }), hessian, device: '${choice}' })`
    const { value, stderr } = runWithDriver(
      { MOCK_CUDA_MEMORY: '20000' },
      `const hessian = new library.Hessian(64)
       hessian.add(Float32Array.from({ length: 64 * 80 }, (_, i) => Math.cos(i * i)), 80)
       const failed = await failure(${quantize('cuda')})
       const [host, layer] = [await ${quantize('cpu')}, await ${quantize('auto')}]
       report([failed.code, JSON.stringify(host.tensors()) === JSON.stringify(layer.tensors())])`,
    )
    assert.deepEqual(value, ['OUT_OF_MEMORY', true], stderr)
    assert.match(stderr, /PyramidionWarning: a layer is left to the processor: no device memory for \d+ bytes/)
  })
})

describe('moments gathered on a device', function () {
  this.timeout(60_000)
  before(async function () {
    await needDevice(this)
  })

  it("are the processor's, however tokens come, and go on there once they were read", () => {
    const width = 9
    const [host, device] = [new Hessian(width), new Hessian(width, { onGpu: true })]
    for (const tokens of [100, 300, 256, 70]) {
      const x = random(tokens * width)
      const weights = tokens === 300 ? random(tokens).map(Math.abs) : undefined
      for (const hessian of [host, device]) hessian.add(x, tokens, weights)
      if (tokens === 256) assert.deepEqual(device.mean(), host.mean())
    }
    assert.deepEqual(device.mean(), host.mean(), `seed ${seed}`)
    assert.deepEqual(device.meanMagnitude(), host.meanMagnitude())
  })

  it('need memory, and a device that works', async function () {
    await needSimulatedDevice(this)
    const gather = `const gather = () => {
      const hessian = new library.Hessian(16, { onGpu: true })
      hessian.add(new Float32Array(16 * 512).fill(1), 512)
      return hessian.mean()[0]
    }
    const attempt = async fault => {
      process.env.MOCK_CUDA_FAIL = fault
      return (await failure((async () => gather())()))?.code
    }`
    assert.deepEqual(
      valueWithDriver({}, `${gather}\nreport([await attempt('cuMemAlloc_v2=2'), await attempt('none=0'), gather()])`),
      ['OUT_OF_MEMORY', null, 1],
    )
    assert.equal(valueWithDriver({}, `${gather}\nreport(await attempt('cuLaunchKernel=719'))`), 'DEVICE_ERROR')
  })
})

const tales = fileURLToPath(new URL('../../../models/tales', import.meta.url))

describe('a model quantized on a device', function () {
  this.timeout(300_000)
  // Small: every thread of the device is interpreted.
  const config = {
    ...tinyConfig,
    num_hidden_layers: 1,
    vocab_size: 2048,
    hidden_size: 32,
    intermediate_size: 48,
    head_dim: 8,
  }
  let folder: string
  let plain: string
  before(async function () {
    await needDevice(this)
    folder = await mkdtemp(join(tmpdir(), 'pyramidion-device-'))
    plain = join(folder, 'plain')
    await withCheckpoint(config, randomTensors(config, 7), async made => {
      for (const file of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(tales, file), join(made, file))
      await cp(made, plain, { recursive: true })
    })
  })
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  /** The bytes of all files of a model but the report. */
  async function quantized(name: string, options: Partial<QuantizeModelOptions>): Promise<Map<string, Buffer>> {
    const output = join(folder, name)
    await quantizeModel(plain, { bits: 3, output, report: false, ...options })
    const files = await readdir(output)
    return new Map(await Promise.all(files.map(async file => [file, await readFile(join(output, file))] as const)))
  }

  it('has the bytes that the processor gives it, calibrated too', async () => {
    const calibration = 'Once upon a time there was a fox who lived in a wood. '.repeat(40)
    for (const options of [
      {},
      { calibration, calibrationTokens: 300, advanced: { sweeps: 1 } },
    ] satisfies Partial<QuantizeModelOptions>[]) {
      const name = options.calibration === undefined ? 'plain' : 'calibrated'
      const warnings: string[] = []
      const onWarning = (message: string) => warnings.push(message)
      const device = await quantized(`${name}-device`, { ...options, device: 'cuda', onWarning })
      assert.deepEqual(device, await quantized(`${name}-host`, options))
      // Rows this short may be best in groups of four, which have no kernels.
      const others = warnings.filter(warning => !/no CUDA kernel knows groups of 4$/.test(warning))
      assert.deepEqual(others, [])
      if (name === 'plain') assert.deepEqual(warnings, [])
    }
  })

  it('leaves codes without a kernel to the processor, out loud, and refuses baselines', async () => {
    const warnings: string[] = []
    const onWarning = (message: string) => warnings.push(message)
    const options: Partial<QuantizeModelOptions> = { lattice: 'barnes-wall' }
    const device = await quantized('lattice-device', { ...options, device: 'cuda', onWarning })
    assert.deepEqual(device, await quantized('lattice-host', options))
    assert.equal(warnings.length, 1)
    assert.match(
      warnings[0],
      /^model\.\S+ is left to the processor: no CUDA kernel knows groups of 16 on the Barnes-Wall/,
    )
    await assert.rejects(quantizeModel(plain, { bits: 3, output: folder, quantizer: 'integer', device: 'cuda' }), {
      code: 'UNSUPPORTED_FORMAT',
    })
  })
})
