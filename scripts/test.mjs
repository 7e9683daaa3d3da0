// Builds and runs every test suite, then prints one total: "N passed, N failed".
//
//   npm test                     everything
//   npm test -- mocha native     only these suites
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'

/** Runs a command, passing what it prints to `echo`. */
function run(echo, command, args, environment = {}) {
  return new Promise(settle => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', chunk => {
        output += chunk
        echo(chunk)
      })
    }
    child.on('error', error => settle({ status: 1, output: `${output}${error.message}` }))
    child.on('close', status => settle({ status: status ?? 1, output }))
  })
}

/** A step that is right or wrong as a whole. */
const step =
  ([command, ...args], environment = {}) =>
  async echo => {
    const { status } = await run(echo, command, args, environment)
    return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
  }

const count = (output, pattern) => Number(pattern.exec(output)?.[1] ?? 0)

/** A runner that failed without counting a failure (a crash, a build error) counts as one. */
const tally = (status, passed, failed) => ({ passed, failed: status !== 0 && failed === 0 ? 1 : failed })

/** Builds C++ tests into `folder`, with the given options of cmake: all that is built by default, or some targets. */
const buildNative =
  (folder, options, ...targets) =>
  async echo => {
    const configure = ['-S', '.', '-B', folder, '-DPYRAMIDION_TESTS=ON', ...options]
    const build = ['--build', folder, '--parallel', String(availableParallelism())]
    if (targets.length > 0) build.push('--target', ...targets)
    for (const args of [configure, build]) {
      const { status } = await run(echo, 'cmake', args)
      if (status !== 0) return { passed: 0, failed: 1 }
    }
    return { passed: 0, failed: 0 }
  }

const doctest =
  ([command, ...args], environment = {}) =>
  async echo => {
    const { status, output } = await run(echo, command, [...args, '--no-colors=true'], {
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
  async echo => {
    const total = { passed: 0, failed: 0 }
    for (const part of parts) {
      const { passed, failed } = await part(echo)
      total.passed += passed
      total.failed += failed
      if (failed > 0) break
    }
    return total
  }

const sanitized = (folder, sanitizers, ...filters) =>
  steps(buildNative(folder, [`-DPYRAMIDION_SANITIZE=${sanitizers}`]), doctest([`${folder}/native_tests`, ...filters]))

/** The kernels for one kind of GPU, whose PTX is what the tests run; cuda-compile compiles them for every kind. */
const fewKernels = { PYRAMIDION_CUDA_ARCHITECTURES: '80' }

const addonsCore = resolve('build/libpyramidion_core.a')

/** Builds tests on the addon's own core, which is brought up to date first: it is tested as it is used, and not built twice. */
const buildOnAddon = (...targets) =>
  steps(
    async echo => {
      const { status } = await run(echo, 'npm', ['run', '--silent', 'build:native'], fewKernels)
      return { passed: 0, failed: status === 0 ? 0 : 1 }
    },
    buildNative('build/native-tests', [`-DPYRAMIDION_CORE=${addonsCore}`], ...targets),
  )

/** Tests of kernels for arm64, built for speed of building and run by an emulated processor. */
const crossCompiled = [
  ['SYSTEM_NAME', 'Linux'],
  ['SYSTEM_PROCESSOR', 'aarch64'],
  ['CXX_COMPILER', 'aarch64-linux-gnu-g++'],
  ['BUILD_TYPE', 'Emulated'],
  ['CXX_FLAGS', '-O1'],
].map(([name, value]) => `-DCMAKE_${name}=${value}`)
const onArm = (processor, ...filters) =>
  doctest(['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu', '-cpu', processor, 'build/neon/kernel_tests', ...filters])

/** Mocha runs against dist/, what users get. */
const mocha = async echo => {
  const { status, output } = await run(echo, 'npx', ['mocha', '--no-color'])
  return tally(status, count(output, /(\d+) passing/), count(output, /(\d+) failing/))
}

/** The CUDA kernels as C++, their threads in several orders, and under sanitizers: test/native/cuda/emulation. */
const emulation = (variant, seed) =>
  doctest([`build/native-tests/test/native/cuda/cuda_tests_${variant}`], {
    SIMT_SEED: String(seed),
    ASAN_OPTIONS: 'detect_leaks=0',
  })

/** A program whose last line says "N passed, N failed". */
const counted =
  (...args) =>
  async echo => {
    const { status, output } = await run(echo, 'node', args)
    return tally(status, count(output, /(\d+) passed, \d+ failed\s*$/), count(output, /\d+ passed, (\d+) failed\s*$/))
  }

/** The addon over the machine's own driver, where there is one, or over that of `environment`. */
const onDevice = environment => async echo => {
  const { status, output } = await run(
    echo,
    'npx',
    ['mocha', '--no-color', '--no-config', '--import=tsx', '--timeout', '300000', 'test/cuda/device/*.test.ts'],
    environment,
  )
  return tally(status, count(output, /(\d+) passing/), count(output, /(\d+) failing/))
}
/** A driver whose one device interprets nvcc's PTX: test/native/cuda/ptxsim. */
const simulatedDriver = { LD_LIBRARY_PATH: resolve('build/native-tests/mock-cuda') }

const suites = {
  lint: step(['npx', 'biome', 'ci', '.']),
  build: step(['npm', 'run', '--silent', 'build'], fewKernels),
  types: step(['npx', 'tsc', '-p', 'test/tsconfig.json']),
  native: steps(buildOnAddon('native_tests'), doctest(['build/native-tests/native_tests'])),
  'cuda-emulation': steps(
    buildOnAddon('cuda_tests_plain', 'cuda_tests_address', 'cuda_tests_thread'),
    ...[0, 1, 2, 3].map(seed => emulation('plain', seed)),
    emulation('address', 0),
    emulation('thread', 0),
    counted('test/native/cuda/faults/run.mjs', 'build/native-tests', addonsCore),
  ),
  'cuda-compile': counted('scripts/cuda-compile.mjs'),
  cuda: steps(
    buildOnAddon('mock_cuda', 'ptxsim_tests'),
    doctest(['build/native-tests/ptxsim_tests']),
    onDevice(simulatedDriver),
    onDevice({}),
  ),
  'native-address': sanitized('build/asan', 'address,undefined'),
  // Searches run on one thread.
  'native-thread': sanitized('build/tsan', 'thread', '--source-file-exclude=*pyramid_search_test.cc'),
  // Everything on a processor without dot products of bytes; what has a form with them again on one that has all.
  neon: steps(
    buildNative('build/neon', crossCompiled, 'kernel_tests'),
    onArm('cortex-a53', '--test-case-exclude=the search finds*,no single pulse*,calibrated rounding lowers*'),
    onArm('max', '--source-file=*integer_product_test.cc,*packed_rows_test.cc'),
  ),
  mocha,
}

/**
 * Phases one after another. Inside a phase lanes run side by side, because most suites keep one core busy, and the suites of
 * a lane one after another: the first three share a build folder, and both lanes take about as long. Mocha measures time here
 * and there: it runs alone.
 */
const phases = [
  [['lint', 'build', 'types']],
  [
    ['native', 'cuda-emulation', 'cuda', 'cuda-compile', 'neon'],
    ['native-address', 'native-thread'],
  ],
  [['mocha']],
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => !(name in suites))
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(', ')}; suites: ${Object.keys(suites).join(', ')}`)
  process.exit(2)
}

const totals = { passed: 0, failed: 0 }
const rows = []
let broken = false
for (const phase of phases) {
  const lanes = phase.map(lane => lane.filter(name => wanted.length === 0 || wanted.includes(name)))
  const together = lanes.filter(lane => lane.length > 0).length > 1
  await Promise.all(lanes.map(lane => runLane(lane, together)))
}
console.log(`\n${rows.join('\n')}\n`)
console.log(`${totals.passed} passed, ${totals.failed} failed`)
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0

/** What suites that run `together` print is kept until they end, so that it does not mix. */
async function runLane(names, together) {
  for (const name of names) {
    if (broken) return
    console.log(`\n=== ${name}${together ? ', output follows' : ''}`)
    const printed = []
    const started = performance.now()
    const { passed, failed } = await suites[name](together ? chunk => printed.push(chunk) : print)
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    if (together) console.log(`\n=== ${name}, ended after ${seconds} s`)
    for (const chunk of printed) print(chunk)
    rows.push(`${name.padEnd(16)} ${passed} passed, ${failed} failed (${seconds} s)`)
    totals.passed += passed
    totals.failed += failed
    broken ||= name === 'build' && failed > 0
  }
}

function print(chunk) {
  process.stdout.write(chunk)
}
