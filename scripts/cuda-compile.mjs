// Compiles every CUDA kernel for every target and refuses what spills registers or keeps arrays in local memory:
//
//   node scripts/cuda-compile.mjs        prints "N passed, N failed"; says so where there is no nvcc
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const targets = [80, 86, 89, 90, 100, 120]
const folder = 'native/cuda/kernels'
const strict = [
  '-Werror',
  'all-warnings',
  '-Xptxas',
  '-v,--warn-on-spills,--warn-on-local-memory-usage,--warning-as-error',
]

function run(command, args) {
  return new Promise(resolve => {
    const child = spawn(command, args)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    child.on('error', error => resolve({ status: -1, output: error.message }))
    child.on('close', status => resolve({ status: status ?? -1, output }))
  })
}

/** The path of nvcc, or undefined. */
export async function findNvcc() {
  const { CUDA_HOME, CUDA_PATH } = process.env
  const homes = [CUDA_HOME, CUDA_PATH, '/usr/local/cuda'].filter(Boolean)
  for (const nvcc of ['nvcc', ...homes.map(home => join(home, 'bin/nvcc'))]) {
    if ((await run(nvcc, ['--version'])).status === 0) return nvcc
  }
  return undefined
}

export async function kernelFamilies() {
  return (await readdir(folder)).filter(name => name.endsWith('.cu')).map(name => basename(name, '.cu'))
}

/** What ptxas says of a family's kernels: [{ kernel, registers, shared }], the machine code, and the errors if there are. */
export async function compileFamily(nvcc, family, target) {
  const work = await mkdtemp(join(tmpdir(), 'pyramidion-cuda-'))
  try {
    const code = join(work, `${family}.cubin`)
    const { status, output } = await run(nvcc, [
      ...['-cubin', '-std=c++17', '-O3', '--fmad=false', `-arch=sm_${target}`, '-Inative', ...strict],
      ...['-o', code, join(folder, `${family}.cu`)],
    ])
    if (status !== 0) return { kernels: [], errors: output }
    const kernels = []
    for (const [, kernel, registers, rest] of output.matchAll(
      /Compiling entry function '(\w+)'[\s\S]*?Used (\d+) registers(.*)/g,
    )) {
      kernels.push({ kernel, registers: Number(registers), shared: Number(/(\d+) bytes smem/.exec(rest)?.[1] ?? 0) })
    }
    return { kernels, code: await readFile(code) }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function main() {
  const nvcc = await findNvcc()
  if (nvcc === undefined) {
    console.log('no nvcc: the CUDA kernels are not compiled\n0 passed, 0 failed')
    return
  }
  const waiting = (await kernelFamilies()).flatMap(family => targets.map(target => ({ family, target }))).values()
  const totals = { passed: 0, failed: 0 }
  const work = async () => {
    for (const { family, target } of waiting) {
      const { kernels, errors } = await compileFamily(nvcc, family, target)
      totals[errors === undefined ? 'passed' : 'failed']++
      const most = Math.max(...kernels.map(({ registers }) => registers))
      console.log(`${family} sm_${target}: ${errors ?? `${kernels.length} kernels, at most ${most} registers`}`)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  process.exitCode = totals.failed > 0 ? 1 : 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
