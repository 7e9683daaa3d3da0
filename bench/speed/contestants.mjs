// Who takes part: { name, own, type, module, settings, does }, `does` telling the work that a contestant can do.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { quantizeModel } from '../../dist/index.js'
import { writeRandomFolder } from './random-folder.mjs'
import { bitsOf, blockTypes, writeRandomGguf } from './random-gguf.mjs'

const folder = fileURLToPath(new URL('../../build/speed', import.meta.url))

/** 4096 wide, as a model of eight billion weights is, but of few layers and words. */
const shape = { hidden: 4096, intermediate: 14336, heads: 32, keyValueHeads: 8, vocabulary: 320, context: 1024 }
const { hidden, intermediate, heads, keyValueHeads } = shape
const inputWeights = hidden ** 2 * (1 + (2 * keyValueHeads) / heads)
const blockWeights = inputWeights + hidden ** 2 + 3 * hidden * intermediate

const ownCodes = [
  { layout: 'compact', code: { dimension: 8, pulses: 12, levels: 7 } },
  { layout: 'compact', code: { dimension: 16, pulses: 24, levels: 7 } },
  { layout: 'split', code: { dimension: 8, pulses: 12, levels: 7 } },
  { layout: 'split', code: { dimension: 16, pulses: 24, levels: 7 } },
  { layout: 'expanded', code: { dimension: 8, pulses: 12, levels: 7 } },
  { layout: 'expanded', code: { dimension: 16, pulses: 24, levels: 7 } },
]

export function ownLayers(rows, columns, threads) {
  return ownCodes.map(({ layout, code }) => ({
    name: `pyramidion ${layout}, D = ${code.dimension}`,
    own: true,
    module: 'pyramidion-layer',
    settings: { rows, columns, code, layout, activations: 'int8', threads, cold: true },
    does: ({ phase }) => phase === 'layer',
  }))
}

export function onnxruntimeLayers(rows, columns, threads) {
  return [4, 8, 32].map(bits => ({
    name: bits === 32 ? 'onnxruntime MatMul, float' : `onnxruntime MatMulNBits, ${bits} bits`,
    type: bits === 32 ? 'float' : `${bits} bits`,
    module: 'onnxruntime-layer',
    settings: { rows, columns, bits, threads, cold: true },
    does: ({ phase }) => phase === 'layer',
  }))
}

/**
 * llama.cpp's types by a random model of two blocks, colder than any cache: multiplications of its linear layers over the time from
 * a prompt to the token behind it. Attention, norms and a head of 320 words are in that time; they are some 2 % of it.
 */
export async function llamaLayers(threads) {
  const multiplications = { each: blockWeights + inputWeights, last: blockWeights - inputWeights }
  const entries = []
  for (const type of blockTypes) {
    const path = await randomGguf(type, 2)
    entries.push({
      name: `llama.cpp ${type}`,
      type,
      bits: bitsOf(type),
      module: 'llama-model',
      settings: { path, threads, multiplications },
      does: ({ phase, cold }) => phase === 'layer' && cold,
    })
  }
  return entries
}

export async function randomModels(threads, peers) {
  const does = ({ phase }) => phase === 'decode' || phase === 'prompt'
  const entries = []
  for (const bits of [3, 3.25, 3.5]) {
    const path = join(folder, `random-${bits}`)
    if (!existsSync(path)) await announced(path, () => writeRandomFolder(path, { ...shape, layers: 4 }, bits))
    for (const layout of bits === 3 ? ['compact', 'expanded'] : ['expanded']) {
      const name = `pyramidion ${layout}, ${bits} bits`
      entries.push(ownModel(name, path, { threads, layout, activations: 'int8' }, does))
    }
  }
  for (const type of peers ? blockTypes : []) {
    const path = await randomGguf(type, 4)
    entries.push({ name: `llama.cpp ${type}`, type, module: 'llama-model', settings: { path, threads }, does })
  }
  return entries
}

/** `path`: a GGUF file, whose linear layers ours has at two rates, rounded without calibration: time does not depend on it. */
export async function givenModel(path, threads, peers) {
  const does = ({ phase }) => phase === 'decode' || phase === 'prompt'
  const entries = []
  for (const [bits, layout] of [
    [3, 'compact'],
    [3, 'expanded'],
    [3.5, 'expanded'],
  ]) {
    const output = join(folder, `given-${bits}`)
    if (!existsSync(output)) await announced(output, () => quantizeModel(path, { bits, output }))
    const name = `pyramidion ${layout}, ${bits} bits`
    entries.push(ownModel(name, output, { threads, layout, activations: 'int8' }, does))
  }
  if (peers)
    entries.push({ name: 'llama.cpp, the file itself', module: 'llama-model', settings: { path, threads }, does })
  return entries
}

function ownModel(name, path, settings, does) {
  return { name, own: true, module: 'pyramidion-model', settings: { path, ...settings }, does }
}

/** On one thread. Types that llama.cpp weighs by an importance matrix get one where the encoding is calibrated. */
export function encoders(calibrated, peers) {
  const does = ({ phase }) => phase === 'encode'
  const size = calibrated ? { rows: 1024, columns: 2048 } : { rows: 128, columns: 4096 }
  const code = calibrated ? { dimension: 16, pulses: 24, levels: 7 } : { dimension: 8, pulses: 12, levels: 7 }
  const own = (variant, sweeps) => ({
    name: `pyramidion, D = ${code.dimension}${variant}`,
    own: true,
    module: 'pyramidion-encode',
    settings: { ...size, code, calibrated, sweeps, threads: 1 },
    does,
  })
  // Error feedback alone is what GPTQ does; the default sweeps over the groups again.
  const entries = calibrated ? [own(', 4 sweeps (default)', 4), own(', error feedback alone', 0)] : [own('', 0)]
  const types = { IQ3_XXS: 18, Q4_K: 12, Q3_K: 11 }
  for (const [type, id] of Object.entries(peers ? types : {})) {
    const settings = { rows: 16, columns: 4096, type: id, importance: calibrated }
    entries.push({ name: `llama.cpp ${type}`, type, module: 'llama-encode', settings, does })
  }
  return entries
}

async function randomGguf(type, layers) {
  const path = join(folder, `random-${layers}-${type}.gguf`)
  if (!existsSync(path)) await announced(path, () => writeRandomGguf(path, { ...shape, layers }, type))
  return path
}

async function announced(path, write) {
  console.error(`writing ${path}`)
  mkdirSync(folder, { recursive: true })
  await write()
}
