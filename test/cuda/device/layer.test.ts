import { strict as assert } from 'node:assert'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  Hessian,
  type PvqTensorMetadata,
  PyramidionError,
  pvq,
  QuantizedLinear,
  type QuantizeLinearOptions,
  quantizeLinear,
} from '../../../dist/index.js'
import { RandomSource } from '../../../dist/model/random-source.js'
import { longestPause } from '../../model/longest-pause.js'
import { randomNormal } from '../../model/random-normal.js'
import { needDevice, needSimulatedDevice, runWithDriver, valueWithDriver } from './driver.js'

const seed = Math.floor(Math.random() * 2 ** 31)
const source = new RandomSource(seed)
const random = (length: number) => randomNormal(source, length)

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** The same layer on the processor and on the device. */
async function pair(
  outFeatures: number,
  inFeatures: number,
  options: QuantizeLinearOptions,
): Promise<[QuantizedLinear, QuantizedLinear]> {
  const layer = await quantizeLinear(random(outFeatures * inFeatures), { outFeatures, inFeatures }, options)
  const copy = await QuantizedLinear.fromTensors(layer.metadata, layer.tensors(), layer.bias, layer.activations, {
    device: 'cuda',
    layout: options.layout,
  })
  return [layer, copy]
}

/** Sums are in single precision on both sides, in different orders. */
const SINGLE = 1e-5
/** Many tokens are multiplied on the tensor cores, where weights, and inputs that are not int8, are halves. */
const HALF = 2e-3

function assertClose(actual: Float32Array, expected: Float32Array, message: string, tolerance = SINGLE): void {
  assert.equal(actual.length, expected.length)
  const scale = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i] - expected[i])
    assert.ok(error <= tolerance * scale, `${message}: ${actual[i]} for ${expected[i]} at ${i}, seed ${seed}`)
  }
}

describe('a layer on a device', function () {
  this.timeout(300_000)
  before(async function () {
    await needDevice(this)
  })

  const shapes = [
    [1, 16],
    [5, 67],
    [13, 192],
  ]
  const codes: [string, QuantizeLinearOptions, number[][]?][] = [
    ['groups of 8, short codes', { quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }) }],
    ['groups of 8, long codes', { quantizer: pvq({ dimension: 8, pulses: 40, levels: 30 }), layout: 'compact' }],
    ['groups of 16, short codes', { quantizer: pvq({ dimension: 16, pulses: 11, levels: 3 }), layout: 'compact' }],
    ['groups of 16, long codes', { quantizer: pvq({ dimension: 16, pulses: 49, levels: 14 }), layout: 'compact' }],
    ['groups of 16, expanded', { quantizer: pvq({ dimension: 16, pulses: 24, levels: 7 }) }],
    ['groups of 4, which are always expanded', { quantizer: pvq({ dimension: 4, pulses: 6, levels: 4 }) }],
    ['Barnes-Wall groups', { quantizer: pvq({ dimension: 16, pulses: 40, levels: 8, lattice: 'barnes-wall' }) }],
    [
      'two segments',
      { bits: 2.9, layout: 'compact' },
      [
        [9, 171],
        [14, 256],
      ],
    ],
    [
      'two segments, expanded',
      { bits: 2.9 },
      [
        [9, 171],
        [14, 256],
      ],
    ],
  ]
  for (const [name, options, own = shapes] of codes) {
    it(`multiplies as the processor does: ${name}`, async () => {
      for (const [rows, columns] of own) {
        const [host, device] = await pair(rows, columns, { ...options, bias: random(rows) })
        assert.equal(device.device, 'cuda')
        assert.ok(device.deviceBytes > 0)
        if (name.startsWith('two segments')) assert.equal((device.metadata as PvqTensorMetadata).segments.length, 2)
        for (const tokens of [1, 3, 11]) {
          const x = random(tokens * columns)
          const shape = `${rows} x ${columns}, ${tokens} tokens`
          assertClose(device.forward(x, tokens), host.forward(x, tokens), shape, tokens > 8 ? HALF : SINGLE)
        }
      }
    })
  }

  for (const [name, options] of [
    ['pair codes', { quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }) }],
    ['groups of 8', { quantizer: pvq({ dimension: 8, pulses: 40, levels: 30 }), layout: 'compact' }],
    ['groups of 16', { quantizer: pvq({ dimension: 16, pulses: 24, levels: 7 }), layout: 'compact' }],
    ['groups of 8, expanded', { quantizer: pvq({ dimension: 8, pulses: 40, levels: 30 }) }],
    ['Barnes-Wall groups', { quantizer: pvq({ dimension: 16, pulses: 40, levels: 8, lattice: 'barnes-wall' }) }],
    ['two segments', { bits: 2.9, layout: 'compact' }],
    ['two segments, expanded', { bits: 2.9 }],
  ] satisfies [string, QuantizeLinearOptions][]) {
    it(`rounds inputs to int8 on the device, and multiplies them as the processor does: ${name}`, async () => {
      // Rotations without a matrix: with one, sums differ in their last bits, which now and then is a step of int8.
      for (const [columns, rotation] of [
        [150, 'none'],
        [256, 'hadamard'],
      ] as const) {
        const [host, device] = await pair(13, columns, { ...options, rotation, activations: 'int8', bias: random(13) })
        for (const [tokens, tolerance] of [
          [1, SINGLE],
          [3, SINGLE],
          [33, HALF],
        ]) {
          const x = random(tokens * columns)
          const message = `${columns} columns, ${tokens} tokens`
          assertClose(device.forward(x, tokens), host.forward(x, tokens), message, tolerance)
        }
      }
    })
  }

  it('adds the low-rank correction and takes inputs as they are, whatever the number of tokens', async () => {
    const hessian = new Hessian(96)
    hessian.add(random(96 * 40), 40)
    const [host, device] = await pair(37, 96, {
      quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }),
      hessian,
      lowRank: { method: 'qera', rank: 19 },
      rotation: 'none',
      activations: 'int8',
    })
    for (const [tokens, tolerance] of [
      [9, SINGLE],
      [33, HALF],
    ]) {
      const x = random(tokens * 96)
      assertClose(device.forward(x, tokens), host.forward(x, tokens), 'rank 19', tolerance)
    }
  })

  it('multiplies many tokens in blocks that share the columns', async () => {
    const options = { bits: 3, lowRank: { method: 'lqer', rank: 5 }, bias: random(70) } as const
    const [host, device] = await pair(70, 1600, options)
    const x = random(40 * 1600)
    assertClose(device.forward(x, 40), host.forward(x, 40), '40 tokens', HALF)
  })

  it('multiplies float inputs that the processor rounded to a format without a kernel', async () => {
    const [host, device] = await pair(5, 64, { bits: 3, activations: 'mxint6' })
    const x = random(3 * 64)
    assertClose(device.forward(x, 3), host.forward(x, 3), 'mxint6')
  })

  it('has the kernels that suit the code, the inputs and the number of tokens', async function () {
    await needSimulatedDevice(this)
    const { value, stderr } = runWithDriver(
      { PTXSIM_REPORT: '1' },
      `for (const layout of ['compact', 'expanded'])
       for (const activations of ['float', 'int8']) for (const [dimension, pulses] of [[8, 12], [16, 24]]) {
         const quantizer = library.pvq({ dimension, pulses, levels: 7 })
         const shape = { outFeatures: 4, inFeatures: 32 }
         const weight = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i))
         const layer = await library.quantizeLinear(weight, shape, { quantizer, activations, layout, device: 'cuda' })
         for (const tokens of [1, 8, 9, 33]) layer.forward(new Float32Array(32 * tokens), tokens)
       }
       report(true)`,
    )
    assert.equal(value, true, stderr)
    const kernels = [...stderr.matchAll(/^PTXSIM REPORT (\w+)/gm)].map(([, kernel]) => kernel)
    const float = (gemv: string, rows: string) => [
      ...['rotate_inputs_f32', `${gemv}_f32_t1`, 'rotate_inputs_f32', `${gemv}_f32_t8`],
      ...['rotate_inputs_f16', rows, 'half_gemm_small', 'rotate_inputs_f16', rows, 'half_gemm_small'],
    ]
    const rounded = (...products: string[]) =>
      products.flatMap(kernel => [
        /half/.test(kernel) ? 'rotate_inputs_i8_f16' : 'rotate_inputs_i8',
        ...kernel.split(' '),
      ])
    const multiplied = kernels.filter(kernel => /^(mix|rotate|decode|expanded|pair|half)_/.test(kernel))
    assert.deepEqual(multiplied, [
      ...float('decode_gemv_d8_w32', 'decode_rows_d8_w32'),
      ...float('decode_gemv_d16_w64', 'decode_rows_d16_w64'),
      ...rounded('pair_gemv_i8_t1', 'pair_gemv_i8_t8', 'pair_gemv_i8_t8 pair_gemv_i8_t1'),
      ...rounded('decode_rows_d8_w32 half_gemm_small'),
      ...rounded('decode_gemv_d16_w64_i8_t1', 'decode_gemv_d16_w64_i8_t8'),
      ...rounded('decode_rows_d16_w64 half_gemm_small', 'decode_rows_d16_w64 half_gemm_small'),
      ...float('expanded_gemv_g2', 'expanded_rows_g2'),
      ...float('expanded_gemv_g1', 'expanded_rows_g1'),
      ...rounded('pair_gemv_i8_t1', 'pair_gemv_i8_t8', 'pair_gemv_i8_t8 pair_gemv_i8_t1'),
      ...rounded('decode_rows_d8_w32 half_gemm_small'),
      ...rounded('expanded_gemv_g1_i8_t1', 'expanded_gemv_g1_i8_t8'),
      ...rounded('expanded_gemv_g1_i8_t8 expanded_gemv_g1_i8_t1', 'expanded_rows_g1 half_gemm_small'),
    ])
  })

  it('computes several calls at once, off the event loop', async () => {
    const [host, device] = await pair(64, 256, { bits: 3 })
    const inputs = Array.from({ length: 6 }, () => random(2 * 256))
    let outputs: Float32Array[] = []
    const { pause, elapsed } = await longestPause(async () => {
      outputs = await Promise.all(inputs.map(x => device.forwardAsync(x, 2)))
    })
    outputs.forEach((y, i) => {
      assertClose(y, host.forward(inputs[i], 2), `call ${i}`)
    })
    assert.ok(pause < Math.max(elapsed / 2, 50), `the event loop stood for ${pause} of ${elapsed} ms`)
  })

  it('frees a layer that is collected off the event loop, however busy the device is', async () => {
    const [, device] = await pair(64, 256, { bits: 3 })
    // Not named, so that nothing holds them.
    await pair(64, 256, { bits: 3 })
    await pair(64, 256, { bits: 3 })
    const { pause, elapsed } = await longestPause(async () => {
      const busy = Promise.all(Array.from({ length: 4 }, () => device.forwardAsync(random(2 * 256), 2)))
      await setTimeout(20)
      collectGarbage()
      await busy
    })
    assert.ok(pause < Math.max(elapsed / 3, 50), `the event loop stood for ${pause} of ${elapsed} ms`)
  })

  it('keeps the rest of a layer: values, tensors, an end', async () => {
    const [host, device] = await pair(7, 40, { quantizer: pvq({ dimension: 8, pulses: 12, levels: 7 }) })
    assert.deepEqual(device.dequantize(), host.dequantize())
    assert.deepEqual(device.tensors(), host.tensors())
    device.dispose()
    assert.throws(() => device.forward(random(40)), { code: 'DISPOSED' })
  })

  it('is refused for a segment that begins between the eights in which kernels read inputs', async () => {
    const quantizer = pvq({ dimension: 4, pulses: 6, levels: 4 })
    const layer = await quantizeLinear(random(48), { outFeatures: 2, inFeatures: 24 }, { quantizer, rotation: 'none' })
    const { segments, ...rest } = layer.metadata as PvqTensorMetadata
    const half = { ...segments[0], columns: 12 }
    const tensors = layer.tensors()
    const parts = {
      ...tensors,
      // Three groups of 12 bits in each half of a row.
      codes: new Uint8Array(2 * 2 * 5),
      levels: new Uint8Array([...tensors.levels, ...tensors.levels]),
    }
    const metadata = { ...rest, segments: [half, half] }
    await assert.rejects(QuantizedLinear.fromTensors(metadata, parts, undefined, 'float', { device: 'cuda' }), {
      code: 'UNSUPPORTED_FORMAT',
      message: /begins at column 12/,
    })
  })

  it('is refused for codes without a kernel, and computes on the processor under auto, out loud', async () => {
    const options: QuantizeLinearOptions = { quantizer: pvq({ dimension: 2, pulses: 6, levels: 4 }), rotation: 'none' }
    const weight = random(6 * 32)
    const shape = { outFeatures: 6, inFeatures: 32 }
    await assert.rejects(quantizeLinear(weight, shape, { ...options, device: 'cuda' }), (error: unknown) => {
      assert.ok(error instanceof PyramidionError)
      assert.equal(error.code, 'UNSUPPORTED_FORMAT')
      return true
    })
    const warnings: string[] = []
    const onWarning = (message: string) => warnings.push(message)
    const layer = await quantizeLinear(weight, shape, { ...options, device: 'auto', onWarning })
    assert.equal(layer.device, 'cpu')
    assert.match(layer.deviceFallback!, /no CUDA kernel/)
    assert.equal(warnings.length, 1)
    assert.ok(warnings[0].includes(layer.deviceFallback!))
  })
})

describe('a layer on a device that fails', function () {
  this.timeout(120_000)
  before(async function () {
    await needSimulatedDevice(this)
  })

  const quantize = (device: string, rest = '') => `library.quantizeLinear(
    Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i)), { outFeatures: 64, inFeatures: 64 },
    { bits: 3, device: '${device}' ${rest} })`

  it('has no memory for it', () => {
    const failure = valueWithDriver({ MOCK_CUDA_MEMORY: '1000' }, `report(await failure(${quantize('cuda')}))`)
    const { code, message } = failure as { code: string; message: string }
    assert.equal(code, 'OUT_OF_MEMORY')
    assert.match(message, /^no device memory for \d+ bytes, \d+ of 1000 bytes of the device are free: cuMemAlloc: /)
  })

  it('has no memory for it under auto', () => {
    const { value, stderr } = runWithDriver(
      { MOCK_CUDA_MEMORY: '1000' },
      `const layer = await ${quantize('auto')}
       report([layer.device, layer.deviceFallback, layer.forward(new Float32Array(64)).length])`,
    )
    const [device, fallback, length] = value as [string, string, number]
    assert.deepEqual([device, length], ['cpu', 64])
    assert.match(fallback, /^no device memory/)
    assert.match(stderr, /PyramidionWarning: a layer is left to the processor: no device memory/)
  })

  it('has memory for its codes, and none for them expanded', () => {
    const upload = (layout: string) => `const host = await library.quantizeLinear(
      Float32Array.from({ length: 65536 }, (_, i) => Math.sin(i)), { outFeatures: 64, inFeatures: 1024 },
      { quantizer: library.pvq({ dimension: 16, pulses: 24, levels: 7 }) })
      const placed = library.QuantizedLinear.fromTensors(host.metadata, host.tensors(), undefined, 'float', { device: 'cuda', layout: '${layout}' })`
    const bytes = (layout: string) =>
      valueWithDriver({}, `${upload(layout)}\nreport((await placed).deviceBytes)`) as number
    const [compact, expanded] = [bytes('compact'), bytes('expanded')]
    assert.ok(compact < expanded / 2)
    const short = { MOCK_CUDA_MEMORY: String(expanded - 1) }
    assert.equal(valueWithDriver(short, `${upload('auto')}\nreport((await placed).deviceBytes)`), compact)
    const refused = valueWithDriver(short, `${upload('expanded')}\nreport(await failure(placed))`)
    assert.equal((refused as { code: string }).code, 'OUT_OF_MEMORY')
  })

  it('has memory for the weights and none for a call', () => {
    // Coding them on the device would take more.
    const placed = `const host = await ${quantize('cpu')}
      const layer = await library.QuantizedLinear.fromTensors(host.metadata, host.tensors(), undefined, 'float', { device: 'cuda' })`
    const bytes = valueWithDriver({}, `${placed}\nreport(layer.deviceBytes)`) as number
    const failure = valueWithDriver(
      { MOCK_CUDA_MEMORY: String(bytes + 1000) },
      `${placed}\nreport(await failure(layer.forwardAsync(new Float32Array(64 * 8), 8)))`,
    )
    assert.equal((failure as { code: string }).code, 'OUT_OF_MEMORY')
  })

  for (const fault of ['cuMemAllocHost_v2=2', 'cuMemAlloc_v2=2']) {
    it(`says so when ${fault}`, () => {
      const failure = valueWithDriver(
        {},
        `const layer = await ${quantize('cuda')}
         process.env.MOCK_CUDA_FAIL = '${fault}'
         const failed = await failure(layer.forwardAsync(new Float32Array(64), 1))
         delete process.env.MOCK_CUDA_FAIL
         report([failed, (await layer.forwardAsync(new Float32Array(64), 1)).length])`,
      )
      const [failed, length] = failure as [{ code: string }, number]
      assert.equal(failed.code, 'OUT_OF_MEMORY')
      assert.equal(length, 64)
    })
  }

  for (const name of ['cuModuleLoadData', 'cuLaunchKernel', 'cuStreamSynchronize', 'cuMemcpyDtoHAsync_v2']) {
    it(`says so when ${name} fails, and does not crash`, () => {
      const failure = valueWithDriver(
        {},
        `const layer = await ${quantize('cuda')}
         process.env.MOCK_CUDA_FAIL = '${name}=719'
         report(await failure(layer.forwardAsync(new Float32Array(64), 1)))`,
      )
      const { code, message } = failure as { code: string; message: string }
      assert.equal(code, 'DEVICE_ERROR')
      assert.match(message, /CUDA_ERROR_LAUNCH_FAILED 719/)
    })
  }

  it('does not exist', () => {
    const failure = valueWithDriver({ MOCK_CUDA_DEVICES: '0' }, `report(await failure(${quantize('cuda')}))`)
    assert.deepEqual(failure, {
      code: 'DEVICE_UNAVAILABLE',
      message: 'device cuda cannot be used: the NVIDIA driver finds no device',
    })
  })
})
