// Accuracy against rate: quantizes each model with every method of bench/accuracy/methods.mjs at every rate, measures what
// that did to its predictions, and writes docs/accuracy.md. Finished cells are kept in bench/accuracy/results.json; what is
// there is not measured again, so the command can be stopped and repeated.
//
//   node bench/accuracy.mjs [SOURCE CALIBRATION TEXT]...    by default the model that ships in the repository
//     --methods REGEX   only methods and ablations whose name matches
//     --bits 2,3        only these rates, others than the declared ones too (they are printed, the document leaves them out)
//     --windows 48      windows of 512 tokens to evaluate
//     --again           measure cells that are there already, after a change of the code
//     --render          measure nothing, write the document
//     --results FILE, --document FILE
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { accuracyDocument } from './accuracy/document.mjs'
import { ablationRates, ablations, inputs, methods, rates } from './accuracy/methods.mjs'
import { pilot } from './accuracy/pilot.mjs'
import { contentHash, keyOf, Results } from './accuracy/results.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    methods: { type: 'string', default: '' },
    bits: { type: 'string' },
    windows: { type: 'string', default: '48' },
    again: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
    results: { type: 'string', default: join(root, 'bench/accuracy/results.json') },
    document: { type: 'string', default: join(root, 'docs/accuracy.md') },
  },
})
if (positionals.length % 3 !== 0) {
  console.error('usage: node bench/accuracy.mjs [SOURCE CALIBRATION TEXT]...')
  process.exit(2)
}
const windows = Number(values.windows)
const results = new Results(values.results)
const subjects = []
const paths = positionals.length > 0 ? positionals : ['', 'calibration.txt', 'evaluation.txt'].map(talesFile)
for (let at = 0; at < paths.length; at += 3) subjects.push(await subjectOf(...paths.slice(at, at + 3)))

let failures = 0
if (!values.render) for (const cell of wantedCells()) await measure(cell)
const command = ['node bench/accuracy.mjs', ...paths.map(published), ...(windows === 48 ? [] : ['--windows', windows])]
writeFileSync(values.document, accuracyDocument(subjects, cellOf, command.join(' ')))
console.error(`wrote ${relative('.', values.document)}`)
if (failures > 0) process.exitCode = 1

function talesFile(name) {
  return join(root, 'models/tales', name)
}

async function subjectOf(source, calibration, text) {
  const [sourceHash, calibrationHash, textHash] = await Promise.all([source, calibration, text].map(contentHash))
  return {
    ...{ source, calibration, text, windows },
    ...{ sourceHash, calibrationHash, textHash },
    name: basename(source).replace(/\.gguf$/, ''),
    calibrationName: basename(calibration),
    textName: basename(text),
  }
}

/** Files of the repository by their path in it, others by their name. */
function published(path) {
  const inside = relative(root, path)
  return inside.startsWith('..') ? basename(path) : inside.replace(/\/$/, '')
}

function* wantedCells() {
  const asked = values.bits?.split(',').map(Number)
  const wanted = ({ name }) => new RegExp(values.methods).test(name)
  for (const subject of subjects) {
    for (const method of methods.filter(wanted)) {
      for (const bits of asked ?? rates) yield { subject, method, bits }
    }
    for (const method of ablations.filter(wanted)) {
      for (const bits of asked?.filter(each => ablationRates.includes(each)) ?? ablationRates) {
        yield { subject, method, bits }
      }
    }
    if (wanted(inputs) && (asked?.includes(inputs.bits) ?? true)) yield { subject, method: inputs, bits: inputs.bits }
    if (!pilot.model.test(subject.name)) continue
    for (const row of pilot.rows.filter(wanted)) {
      if (asked?.includes(row.bits) ?? true) yield { subject, method: row, bits: row.bits }
    }
  }
}

function cellOf(subject, method, bits) {
  return results.find(identity(subject, method, bits))
}

function identity({ name, sourceHash, calibrationHash, textHash, windows }, { settings, activations }, bits) {
  const calibrated = settings.calibration ? { calibrationHash } : {}
  const formats = activations ? { activations } : {}
  return { model: name, sourceHash, ...calibrated, textHash, windows, bits, settings, ...formats, version }
}

/** A cell that fails is named and left out: the others may take hours. */
async function measure({ subject, method, bits }) {
  const own = identity(subject, method, bits)
  const title = `${subject.name}, ${method.name}, ${bits} bits`
  const known = results.find(own) !== undefined && !values.again
  if (!known) {
    const { source, calibration, text } = subject
    const folder = join(root, 'build/accuracy')
    mkdirSync(folder, { recursive: true })
    const output = join(folder, keyOf(own))
    try {
      const calibrationCache = join(root, 'build/accuracy/cache')
      const referenceCache = join(root, 'build/accuracy/reference')
      const { settings, activations } = method
      const caches = { calibrationCache, referenceCache }
      const figures = await inProcess({
        source,
        calibration,
        text,
        windows,
        bits,
        settings,
        activations,
        output,
        ...caches,
      })
      results.add(own, { ...figures, ...circumstances() })
    } catch (error) {
      failures++
      console.error(`${title}: ${error.message}`)
      return
    }
  }
  const { klDivergence, linearBitsPerWeight } = results.find(own)
  const divergence = `KL ${klDivergence.mean.toFixed(4)} at ${linearBitsPerWeight.toFixed(3)}`
  console.error(`${title}: ${divergence}${known ? ', measured before' : ''}`)
}

/** The figures of one cell; see accuracy/cell.mjs. */
function inProcess(payload) {
  const script = join(root, 'bench/accuracy/cell.mjs')
  const child = spawn(process.execPath, [script, JSON.stringify(payload)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', chunk => {
    output += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', status => {
      if (status === 0) resolve(JSON.parse(output))
      else reject(new Error(`a cell ended with status ${status}`))
    })
  })
}

function circumstances() {
  const { stdout } = spawnSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' })
  return {
    commit: stdout?.trim() || undefined,
    date: new Date().toISOString(),
    processor: `${cpus()[0].model}, ${cpus().length} cores`,
  }
}
