// The fused layers on a GPU against the processor and cuBLAS: builds bench/cuda and runs it. Without a GPU it says so.
//
//   node bench/cuda.mjs [rows columns]...
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

function run(command, ...args) {
  const { status } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) process.exit(status ?? 1)
}

const folder = 'build/cuda-bench'
run('cmake', '-S', '.', '-B', folder, '-DPYRAMIDION_CUDA_BENCH=ON', '-Wno-dev', '--log-level=NOTICE')
run('cmake', '--build', folder, '--parallel', String(availableParallelism()), '--target', 'cuda_bench')
run(`${folder}/cuda_bench`, ...process.argv.slice(2))
