// Builds and runs every test suite, then prints one total: "N passed, N failed".
//
//   npm test                     everything
//   npm test -- mocha native     only these suites
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'

/** Runs a command, echoing what it prints. */
function run(command, args, environment = {}) {
  return new Promise(settle => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } })
    let output = ''
    for (const [stream, sink] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      stream.on('data', chunk => {
        output += chunk
        sink.write(chunk)
      })
    }
    child.on('error', error => settle({ status: 1, output: `${output}${error.message}` }))
    child.on('close', status => settle({ status: status ?? 1, output }))
  })
}

/** A step that is right or wrong as a whole. */
const step =
  ([command, ...args], environment = {}) =>
  async () => {
    const { status } = await run(command, args, environment)
    return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  }

const count = (output, pattern) => Number(pattern.exec(output)?.[1] ?? 0)

/** A runner that failed without counting a failure (a crash, a build error) counts as one. */
const tally = (status, passed, failed) => ({ passed, failed: status !== 0 && failed === 0 ? 1 : failed })

/** Builds C++ tests into `folder`, with the given sanitizers: all that is built by default, or some targets. */
const buildNative =
  (folder, sanitizers, ...targets) =>
  async () => {
    const configure = ['-S', '.', '-B', folder, '-DPYRAMIDION_TESTS=ON', `-DPYRAMIDION_SANITIZE=${sanitizers}`]
    const build = ['--build', folder, '--parallel', String(availableParallelism())]
    if (targets.length > 0) build.push('--target', ...targets)
    for (const args of [configure, build]) {
      const { status } = await run('cmake', args)
      if (status !== 0) return { passed: 0, failed: 1 }
    }
    return { passed: 0, failed: 0 }
  }

const doctest =
  (path, environment = {}) =>
  async () => {
    const { status, output } = await run(path, ['--no-colors=true'], {
      ...environment,
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
      TSAN_OPTIONS: 'halt_on_error=1',
    })
    const passed = count(output, /test cases:\s*\d+\s*\|\s*(\d+) passed/)
    return tally(status, passed, count(output, /test cases:.*?(\d+) failed/))
  }

/** Steps one after another, added up; what comes behind a failure is left out. */
const steps =
  (...parts) =>
  async () => {
    const total = { passed: 0, failed: 0 }
    for (const part of parts) {
      const { passed, failed } = await part()
      total.passed += passed
      total.failed += failed
      if (failed > 0) break
    }
    return total
  }

const native = (folder, sanitizers) => steps(buildNative(folder, sanitizers), doctest(`${folder}/native_tests`))

/** Mocha runs against dist/, what users get. */
const mocha = async () => {
  const { status, output } = await run('npx', ['mocha', '--no-color'])
  return tally(status, count(output, /(\d+) passing/), count(output, /(\d+) failing/))
}

/** The CUDA kernels as C++, their threads in several orders, and under sanitizers: test/native/cuda/emulation. */
const emulation = (variant, seed) =>
  doctest(`build/native-tests/test/native/cuda/cuda_tests_${variant}`, {
    SIMT_SEED: String(seed),
    ASAN_OPTIONS: 'detect_leaks=0',
  })

/** A program whose last line says "N passed, N failed". */
const counted =
  (...args) =>
  async () => {
    const { status, output } = await run('node', args)
    return tally(status, count(output, /(\d+) passed, \d+ failed\s*$/), count(output, /\d+ passed, (\d+) failed\s*$/))
  }

/** The addon over a driver whose one device interprets nvcc's PTX: test/native/cuda/ptxsim. */
const simulatedDevice = async () => {
  const { status, output } = await run(
    'npx',
    ['mocha', '--no-color', '--no-config', '--import=tsx', '--timeout', '300000', 'test/cuda/mock/*.test.ts'],
    { LD_LIBRARY_PATH: resolve('build/native-tests/mock-cuda') },
  )
  return tally(status, count(output, /(\d+) passing/), count(output, /(\d+) failing/))
}

const suites = {
  lint: step(['npx', 'biome', 'ci', '.']),
  // With the kernels for one kind of GPU, whose PTX is what the tests run; cuda-compile compiles them for every kind.
  build: step(['npm', 'run', '--silent', 'build'], { PYRAMIDION_CUDA_ARCHITECTURES: '80' }),
  types: step(['npx', 'tsc', '-p', 'test/tsconfig.json']),
  native: native('build/native-tests', ''),
  'cuda-emulation': steps(
    buildNative('build/native-tests', '', 'cuda_tests_plain', 'cuda_tests_address', 'cuda_tests_thread'),
    ...[0, 1, 2, 3].map(seed => emulation('plain', seed)),
    emulation('address', 0),
    emulation('thread', 0),
    counted('test/native/cuda/faults/run.mjs', 'build/native-tests'),
  ),
  'cuda-compile': counted('scripts/cuda-compile.mjs'),
  cuda: steps(
    buildNative('build/native-tests', '', 'mock_cuda', 'ptxsim_tests'),
    doctest('build/native-tests/ptxsim_tests'),
    simulatedDevice,
  ),
  'native-address': native('build/asan', 'address,undefined'),
  'native-thread': native('build/tsan', 'thread'),
  mocha,
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => !(name in suites))
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(', ')}; suites: ${Object.keys(suites).join(', ')}`)
  process.exit(2)
}

const totals = { passed: 0, failed: 0 }
const rows = []
for (const [name, suite] of Object.entries(suites)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  console.log(`\n=== ${name}`)
  const started = performance.now()
  const { passed, failed } = await suite()
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  rows.push(`${name.padEnd(16)} ${passed} passed, ${failed} failed (${seconds} s)`)
  totals.passed += passed
  totals.failed += failed
  if (name === 'build' && failed > 0) break
}
console.log(`\n${rows.join('\n')}\n`)
console.log(`${totals.passed} passed, ${totals.failed} failed`)
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0
