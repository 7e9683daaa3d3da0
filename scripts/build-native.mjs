// Builds the addon into build/Release/pyramidion.node with cmake-js. Says what to install when a tool is missing; takes
// about a second when nothing has changed. Extra arguments go to cmake-js.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const present = command => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean)
const missing = [
  present('cmake') ? null : 'cmake (3.16 or later)',
  compilers.some(present) ? null : 'a C++17 compiler (g++ 10, clang 12, or later)',
  process.platform === 'win32' || present('make') || present('ninja') ? null : 'make',
].filter(Boolean)
if (missing.length > 0) {
  console.error(`To build the native addon, install ${missing.join(' and ')}.`)
  console.error('Debian, Ubuntu: apt-get install cmake g++ make    macOS: xcode-select --install; brew install cmake')
  process.exit(1)
}

const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js')
const parallel = Math.min(availableParallelism(), 8)
const build = spawnSync(
  process.execPath,
  [cmakeJs, 'build', '--log-level', 'warn', '--parallel', String(parallel), ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit' },
)
process.exit(build.status ?? 1)
