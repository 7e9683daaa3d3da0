import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadModel, quantizeModel } from '../../../dist/index.js'
import { randomTensors, tinyConfig, withCheckpoint } from '../../model/tiny-checkpoint.js'
import { needDevice, needSimulatedDevice, runWithDriver } from './driver.js'

const tales = fileURLToPath(new URL('../../../models/tales', import.meta.url))
// Small: every thread of the device is interpreted.
const config = { ...tinyConfig, num_hidden_layers: 1, vocab_size: 2048, hidden_size: 64, intermediate_size: 96 }
const program = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))

describe('a model on a device', function () {
  this.timeout(300_000)
  let folder: string
  let quantized: string
  before(async function () {
    await needDevice(this)
    folder = await mkdtemp(join(tmpdir(), 'pyramidion-device-'))
    quantized = join(folder, 'model')
    await withCheckpoint(config, randomTensors(config, 7), async plain => {
      for (const file of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(tales, file), join(plain, file))
      await quantizeModel(plain, { bits: 4, output: quantized })
    })
  })
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  it('computes what it computes on the processor, the parts without a kernel there, out loud', async () => {
    const ids = [5, 17, 301, 42]
    const warnings: string[] = []
    const host = await loadModel(quantized)
    const device = await loadModel(quantized, { device: 'cuda', onWarning: message => warnings.push(message) })
    try {
      assert.deepEqual([host.device, host.deviceLayers, host.deviceFallback], ['cpu', 0, undefined])
      assert.equal(device.device, 'cuda')
      assert.equal(device.deviceLayers, 7 * device.config.layers)
      assert.match(device.deviceFallback!, /^1 layer: only pvq weights have CUDA kernels, not /)
      assert.equal(warnings.length, 1)
      assert.ok(warnings[0].includes(device.deviceFallback!))
      const expected = await host.logits(ids)
      const actual = await device.logits(ids)
      const scale = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
      const worst = expected.reduce((error, value, i) => Math.max(error, Math.abs(value - actual[i])), 0)
      assert.ok(worst < 1e-4 * scale, `${worst} of ${scale}`)
    } finally {
      await host.dispose()
      await device.dispose()
    }
  })

  it('is refused where nothing of it has a kernel, and stays on the processor under auto', async () => {
    await assert.rejects(loadModel(tales, { device: 'cuda' }), { code: 'UNSUPPORTED_FORMAT' })
    const warnings: string[] = []
    const model = await loadModel(tales, { device: 'auto', onWarning: message => warnings.push(message) })
    assert.equal(model.device, 'cpu')
    assert.match(model.deviceFallback!, /only pvq weights have CUDA kernels/)
    assert.equal(warnings.length, 1)
    await model.dispose()
  })

  it('falls back as a whole without a device', async function () {
    await needSimulatedDevice(this)
    const { status, value, stderr } = runWithDriver(
      { MOCK_CUDA_DEVICES: '0' },
      `const model = await library.loadModel(${JSON.stringify(quantized)}, { device: 'auto' })
       report([model.device, model.deviceFallback])
       await model.dispose()`,
    )
    assert.equal(status, 0, stderr)
    assert.deepEqual(value, ['cpu', 'the NVIDIA driver finds no device'])
    assert.match(stderr, /PyramidionWarning: no GPU can be used, so the processor computes/)
  })

  it('says that the device has no memory for it', async function () {
    await needSimulatedDevice(this)
    const { value } = runWithDriver(
      { MOCK_CUDA_MEMORY: '20000' },
      `report(await failure(library.loadModel(${JSON.stringify(quantized)}, { device: 'cuda' })))`,
    )
    assert.equal((value as { code: string }).code, 'OUT_OF_MEMORY')
  })

  it('generates from the command line', () => {
    const run = (...options: string[]) =>
      spawnSync(process.execPath, [program, 'generate', quantized, 'Once', '--max-tokens', '3', ...options], {
        encoding: 'utf8',
      })
    const device = run('--device', 'cuda')
    assert.equal(device.status, 0, device.stderr)
    assert.equal(device.stdout, run().stdout)
    assert.match(device.stderr, /^warning: the processor computes a part of the model, 1 layer: /)
    assert.notEqual(run('--device', 'gpu').status, 0)
  })
})
