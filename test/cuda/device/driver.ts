import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { type Device, devices } from '../../../dist/index.js'

/** Skips a suite or a test, saying why, unless the driver has a device that can be used: a GPU, or the simulated one. */
export async function needDevice(context: Mocha.Context): Promise<void> {
  await skipUnless(context, () => true)
}

/** Of what is asked of the mock driver: failures on demand, little memory, a record of kernels. */
export async function needSimulatedDevice(context: Mocha.Context): Promise<void> {
  await skipUnless(context, ({ name }) => name === 'simulated device')
}

async function skipUnless(context: Mocha.Context, suits: (gpu: Device) => boolean): Promise<void> {
  const [, gpu] = await devices()
  if (gpu.available && suits(gpu)) return
  console.log(`      skipped: ${gpu.reason ?? `the device is ${gpu.name}: run npm run test:cuda`}`)
  context.skip()
}

export interface ChildResult {
  status: number | null
  /** What the script printed, as JSON. */
  value: unknown
  stderr: string
}

/**
 * Runs a module's text in a process of its own, over a driver that behaves as `environment` says (mock_driver.cc). `library` is
 * what the package exports there; the script prints one JSON value with `report(value)`.
 */
export function runWithDriver(environment: Record<string, string>, script: string): ChildResult {
  const library = JSON.stringify(new URL('../../../dist/index.js', import.meta.url).href)
  const prelude = `import * as library from ${library}
    const report = value => console.log(JSON.stringify(value))
    const failure = promise => promise.then(() => null, ({ code, message }) => ({ code, message }))\n`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', prelude + script], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    timeout: 300_000,
  })
  return {
    status: child.status,
    value: child.stdout === '' ? undefined : JSON.parse(child.stdout),
    stderr: child.stderr,
  }
}

/** The value reported by a script that ended well. */
export function valueWithDriver(environment: Record<string, string>, script: string): unknown {
  const { status, value, stderr } = runWithDriver(environment, script)
  assert.equal(status, 0, stderr)
  return value
}
