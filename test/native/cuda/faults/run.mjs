// Puts each fault of faults.mjs into the kernels and checks that the emulation's tests fail:
//
//   node test/native/cuda/faults/run.mjs BUILD_FOLDER CORE        prints "N passed, N failed"
//
// BUILD_FOLDER is where cmake built the target `simt` with -DPYRAMIDION_TESTS=ON, on CORE, an archive of the core.
import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { faults } from './faults.mjs'

const [buildFolder = 'build/native-tests', core = 'build/libpyramidion_core.a'] = process.argv.slice(2)
const compiler = process.env.CXX ?? 'c++'
const tests = 'test/native/cuda'
const mainObject = join(buildFolder, 'faults/main.o')
const instrumentation = {
  plain: [],
  address: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-fsanitize=thread'],
}

/** Resolves with the exit status, and what was printed; a run of more than two minutes has failed. */
function run(command, args, environment = {}) {
  return new Promise(resolve => {
    const child = spawn(command, args, { timeout: 120000, env: { ...process.env, ...environment } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    child.on('error', error => resolve({ status: -1, output: error.message }))
    child.on('close', status => resolve({ status: status ?? -1, output }))
  })
}

/** Compiles a family's tests with the kernels under `kernels` before those of the project, or throws. */
async function compile(family, mode, kernels, program) {
  const { status, output } = await run(compiler, [
    '-std=c++20',
    '-O1',
    '-ffp-contract=off',
    '-w',
    ...instrumentation[mode],
    ...[kernels, 'native', tests].map(folder => `-I${folder}`),
    join(tests, `${family}_test.cc`),
    mainObject,
    join(buildFolder, 'test/native/cuda/libsimt.a'),
    core,
    '-lpthread',
    '-ldl',
    '-o',
    program,
  ])
  if (status !== 0) throw new Error(`does not compile:\n${output}`)
}

async function caught(fault, folder) {
  const source = await readFile(join('native/cuda/kernels', fault.file), 'utf8')
  if (source.split(fault.find).length !== 2) throw new Error(`its text must occur once in ${fault.file}`)
  await mkdir(join(folder, 'cuda/kernels'), { recursive: true })
  await writeFile(
    join(folder, 'cuda/kernels', fault.file),
    source.replace(fault.find, () => fault.replace),
  )
  for (const mode of fault.modes) {
    const program = join(folder, mode)
    await compile(fault.family, mode, folder, program)
    for (const seed of mode === 'plain' ? [0, 1, 2] : [0]) {
      const { status } = await run(program, [], {
        SIMT_SEED: String(seed),
        ASAN_OPTIONS: 'detect_leaks=0',
        TSAN_OPTIONS: 'halt_on_error=1',
      })
      if (status !== 0) return `${mode}, order ${seed}`
    }
  }
  return undefined
}

await mkdir(join(buildFolder, 'faults'), { recursive: true })
const { status, output } = await run(compiler, [
  '-std=c++20',
  '-Inative',
  '-c',
  'test/native/main.cc',
  '-o',
  mainObject,
])
if (status !== 0) throw new Error(output)

const waiting = faults.entries()
const totals = { passed: 0, failed: 0 }
async function work() {
  for (const [number, fault] of waiting) {
    const folder = join(buildFolder, 'faults', String(number))
    let by
    let reason = `no test of ${fault.family} sees it`
    try {
      by = await caught(fault, folder)
    } catch (error) {
      reason = error.message
    }
    await rm(folder, { recursive: true, force: true })
    totals[by === undefined ? 'failed' : 'passed']++
    console.log(by === undefined ? `NOT CAUGHT  ${fault.name}: ${reason}` : `caught      ${fault.name} (${by})`)
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))
console.log(`${totals.passed} passed, ${totals.failed} failed`)
process.exitCode = totals.failed > 0 ? 1 : 0
