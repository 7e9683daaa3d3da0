import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { devices } from '../../../dist/index.js'

/** Skips a suite, saying why, unless this process runs over the simulated device and the addon holds kernels for it. */
export async function needSimulatedDevice(context: Mocha.Context): Promise<void> {
  const [, gpu] = await devices()
  if (gpu.name === 'simulated device' && gpu.available) return
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
