import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chooseDevice, type Device } from '../../dist/device.js'
import { PyramidionError } from '../../dist/errors.js'
import { devices } from '../../dist/index.js'

/** What devices() says in a process whose driver is searched for in `folder` first. */
function devicesWith(folder: string): Device[] {
  const script = `import { devices } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}
    console.log(JSON.stringify(await devices()))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: folder },
    timeout: 60_000,
  })
  assert.equal(child.status, 0, child.stderr)
  return JSON.parse(child.stdout)
}

describe('devices()', () => {
  it('names the processor first, and says of every device that cannot be used why', async () => {
    const [processor, ...gpus] = await devices()
    assert.equal(processor.kind, 'cpu')
    assert.equal(processor.available, true)
    assert.ok(gpus.length >= 1)
    for (const gpu of gpus) {
      assert.equal(gpu.kind, 'cuda')
      assert.equal(gpu.available, gpu.reason === undefined)
    }
  })

  it('outlives a driver that is no library', () => {
    const folder = mkdtempSync(join(tmpdir(), 'driver-'))
    try {
      writeFileSync(join(folder, 'libcuda.so.1'), 'not a library')
      const [, gpu, ...others] = devicesWith(folder)
      assert.deepEqual(others, [])
      assert.equal(gpu.available, false)
      assert.match(gpu.reason!, /libcuda\.so\.1|built without CUDA kernels/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('a choice of device', () => {
  it('of the processor asks no driver', async () => {
    assert.deepEqual(await chooseDevice('cpu'), { device: 'cpu' })
  })

  it('without a GPU falls back with a warning, or is refused where only a GPU will do', async function () {
    const gpus = (await devices()).slice(1)
    if (gpus.some(gpu => gpu.available)) this.skip()
    const warnings: string[] = []
    const chosen = await chooseDevice('auto', warning => warnings.push(warning))
    assert.equal(chosen.device, 'cpu')
    assert.equal(chosen.fallback, gpus[0].reason)
    assert.equal(warnings.length, 1)
    assert.ok(warnings[0].includes(gpus[0].reason!))
    await assert.rejects(chooseDevice('cuda'), (error: unknown) => {
      assert.ok(error instanceof PyramidionError)
      assert.equal(error.code, 'DEVICE_UNAVAILABLE')
      assert.ok(error.message.includes(gpus[0].reason!))
      return true
    })
  })
})
