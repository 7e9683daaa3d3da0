// The machine that a run is on: its description, and the limits that probe.cc measures.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { native } from '../../dist/native.js'
import { lastLevelCache } from './caches.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

export function describeMachine() {
  const { stdout } = spawnSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' })
  const { instructionSets, kernels } = native.capabilities()
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: stdout?.trim() || undefined,
    processor: cpus()[0].model.trim(),
    cores: availableParallelism(),
    memory: totalmem(),
    lastLevelCache: lastLevelCache(),
    node: process.version,
    instructionSets,
    kernels,
    load: loadavg()[0],
  }
}

/** Limits by number of threads: { readBandwidth, byteProducts, byteInstruction, floatProducts }; undefined without a compiler. */
export function measureLimits(threads) {
  const folder = join(root, 'build/speed')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, 'probe')
  const flags = ['-O3', '-march=native', '-pthread', join(root, 'bench/speed/probe.cc'), '-o', program]
  const { status, error, stderr } = spawnSync(process.env.CXX ?? 'g++', flags, { encoding: 'utf8' })
  if (status !== 0) {
    console.error(`limits of the machine not measured: ${(error?.message ?? stderr).split('\n')[0]}`)
    return undefined
  }
  return JSON.parse(spawnSync(program, [String(threads)], { encoding: 'utf8' }).stdout)
}
