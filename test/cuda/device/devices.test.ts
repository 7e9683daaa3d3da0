import { strict as assert } from 'node:assert'
import { type Device, devices } from '../../../dist/index.js'
import { needSimulatedDevice, valueWithDriver } from './driver.js'

const gpuWith = (environment: Record<string, string>): Device =>
  (valueWithDriver(environment, 'report((await library.devices())[1])') as Device | undefined)!

describe('devices() over a driver', function () {
  this.timeout(60_000)
  before(async function () {
    await needSimulatedDevice(this)
  })

  it('shows the device', async () => {
    const [, gpu, ...others] = await devices()
    assert.deepEqual(others, [])
    assert.deepEqual(gpu, {
      kind: 'cuda',
      name: 'simulated device',
      available: true,
      computeCapability: '8.0',
      memoryBytes: 2 ** 32,
      multiprocessors: 2,
      driver: '13.0',
    })
  })

  it('says that a driver has no device', () => {
    const gpu = gpuWith({ MOCK_CUDA_DEVICES: '0' })
    assert.deepEqual(gpu, {
      kind: 'cuda',
      name: 'CUDA',
      available: false,
      reason: 'the NVIDIA driver finds no device',
    })
  })

  it('says that a driver is too old', () => {
    const { available, reason, driver } = gpuWith({ MOCK_CUDA_VERSION: '12040' })
    assert.deepEqual({ available, driver }, { available: false, driver: '12.4' })
    assert.equal(reason, 'the NVIDIA driver serves CUDA 12.4; CUDA 13.0 is needed')
  })

  it('shows a device that is too old, and why it cannot be used', () => {
    const { name, available, reason } = gpuWith({ MOCK_CUDA_CAPABILITY: '75' })
    assert.deepEqual({ name, available }, { name: 'simulated device', available: false })
    assert.equal(reason, 'its compute capability is 7.5; 8.0 or more is needed')
  })

  it('passes on what the driver says when it fails', () => {
    assert.match(gpuWith({ MOCK_CUDA_FAIL: 'cuInit=999' }).reason!, /^cuInit: CUDA_ERROR_UNKNOWN 999/)
    assert.match(
      gpuWith({ MOCK_CUDA_FAIL: 'cuDeviceGetName=719' }).reason!,
      /^cuDeviceGetName: CUDA_ERROR_LAUNCH_FAILED 719/,
    )
  })
})
