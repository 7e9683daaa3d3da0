// The peers are npm packages of their own, installed here on first use. Their processor builds come inside npm packages; install
// scripts, which would fetch more (CUDA), are not run, and of the optional packages only this platform's plain ones are taken.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('..', import.meta.url))
const names = ['node-llama-cpp', 'onnxruntime-node', 'koffi']
const platform = `${process.platform}-${process.arch}`
const llamaPlatforms = { 'darwin-arm64': 'mac-arm64-metal', 'darwin-x64': 'mac-x64' }
const llamaPlatform = llamaPlatforms[platform] ?? platform.replace('win32', 'win')

/** Undefined when the peers are there, now or already; otherwise the reason why they are not. */
export function installPeers() {
  const lock = join(folder, 'package-lock.json')
  const installed = join(folder, 'node_modules/.peers')
  if (existsSync(installed) && statSync(installed).mtimeMs > statSync(lock).mtimeMs) return undefined
  console.error('installing the peers into bench/node_modules')
  const { packages } = JSON.parse(readFileSync(lock, 'utf8'))
  const versionOf = name => packages[`node_modules/${name}`].version
  const binaries = [
    `@node-llama-cpp/${llamaPlatform}@${versionOf('node-llama-cpp')}`,
    `@koromix/koffi-${platform}@${versionOf('koffi')}`,
  ]
  // Not `npm ci`: it wants the lock file to name the packages of all platforms, some of which are never published.
  const options = ['--no-save', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, stderr, error } = spawnSync('npm', ['install', ...options, ...binaries], {
    cwd: folder,
    encoding: 'utf8',
  })
  if (status !== 0) return `npm install failed: ${(error?.message ?? stderr).trim().split('\n')[0]}`
  writeFileSync(installed, '')
  return undefined
}

export function peerVersions() {
  const versionOf = name => JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
  return names.map(name => `${name} ${versionOf(name)}`)
}

/** The folder of llama.cpp's shared libraries. */
export function llamaLibraries() {
  return join(folder, 'node_modules/@node-llama-cpp', llamaPlatform, 'bins', llamaPlatform)
}
