// Where the time of a model goes, operation by operation: of a token behind a text (decode), and of a prompt. Linear layers are what a
// quantizer can speed up; the line at the end says what is spent outside of them and of attention.
//
//   node bench/profile.mjs [MODEL] [--tokens 32] [--prompt 256] [--past 64] [--threads N] [--activations int8] [--layout auto] [--head auto] [--kv-cache f16]
//
// MODEL, anything that loadModel takes, defaults to the one in the repository. Times are the means over the fastest half of the runs.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { formatTable } from '../dist/cli/terminal.js'
import { openModel } from '../dist/index.js'
import { Llama } from '../dist/model/llama.js'
import { Sampler } from '../dist/model/sampler.js'
import { native } from '../dist/native.js'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: 'string', default: '32' },
    prompt: { type: 'string', default: '256' },
    past: { type: 'string', default: '64' },
    threads: { type: 'string' },
    activations: { type: 'string', default: 'int8' },
    layout: { type: 'string', default: 'auto' },
    head: { type: 'string', default: 'auto' },
    'kv-cache': { type: 'string', default: 'f16' },
  },
})
const [path = fileURLToPath(new URL('../models/tales', import.meta.url))] = positionals
if (values.threads !== undefined) native.setThreadCount(Number(values.threads))

/** Milliseconds by kind of operation, of the run in progress. */
let spent = new Map()
let calls = 0
instrument()
const source = await openModel(path)
const { activations, layout, head, 'kv-cache': kvCache } = values
const model = await Llama.load(source, { activations, layout, head, kvCache })
await source.close()
const sampler = new Sampler()
const cache = model.newCache()
const logits = new Float32Array(model.config.vocabularySize)
const idsOf = count => Int32Array.from({ length: count }, (_, i) => (100 + 7 * i) % model.config.vocabularySize)

report(`decode, ${values.past} positions before`, profile(Number(values.tokens), decodeRun()))
report(`prompt of ${values.prompt} tokens`, profile(4, promptRun(Number(values.prompt))))

function decodeRun() {
  cache.clear()
  model.next(idsOf(Number(values.past)), cache, undefined, logits)
  return () => model.next(Int32Array.of(sample()), cache, undefined, logits)
}

function promptRun(tokens) {
  return () => {
    cache.clear()
    model.next(idsOf(tokens), cache, undefined, logits)
    sample()
  }
}

function sample() {
  return timed('sampling', () => sampler.sample(logits, new Set()))
}

/** Native operations are timed where they are called, by subclasses where they are methods; blocks count their own. */
function instrument() {
  const { Linear } = native
  native.Linear = class extends Linear {
    forward(...args) {
      timed('linear: head', () => super.forward(...args))
    }
    gatherRows(...args) {
      timed('embedding', () => super.gatherRows(...args))
    }
  }
  const kinds = ['linear: projections', 'attention', 'norms', 'rotary', 'gating', 'sums']
  const seconds = new Float64Array(kinds.length)
  const { forwardBlocks } = native
  native.forwardBlocks = (...args) => {
    seconds.fill(0)
    timed('blocks: calls', () => forwardBlocks(...args.slice(0, 7), args[7], seconds))
    for (const [i, kind] of kinds.entries()) {
      add(kind, 1000 * seconds[i])
      add('blocks: calls', -1000 * seconds[i])
    }
  }
  for (const name of ['rmsNorm', 'firstNonFinite']) {
    const original = native[name]
    native[name] = (...args) => timed(name, () => original(...args))
  }
}

function timed(kind, action) {
  const start = performance.now()
  const result = action()
  add(kind, performance.now() - start)
  calls++
  return result
}

function add(kind, milliseconds) {
  spent.set(kind, (spent.get(kind) ?? 0) + milliseconds)
}

/** What timing one operation adds to everything else, in milliseconds. */
function timingCost() {
  const times = 1e5
  const start = performance.now()
  for (let i = 0; i < times; i++) timed('nothing', () => undefined)
  return (performance.now() - start) / times
}

/** Milliseconds a run by kind, `everything else` being JavaScript between the operations, less what timing them costs. */
function profile(runs, run) {
  run()
  const cost = timingCost()
  const all = Array.from({ length: runs }, () => {
    spent = new Map()
    calls = 0
    const start = performance.now()
    run()
    const total = performance.now() - start - calls * cost
    return { total, spent }
  })
  const fastest = all.sort((a, b) => a.total - b.total).slice(0, Math.ceil(runs / 2))
  const mean = pick => fastest.reduce((sum, each) => sum + pick(each), 0) / fastest.length
  const total = mean(each => each.total)
  const kinds = new Map([...fastest[0].spent.keys()].map(kind => [kind, mean(each => each.spent.get(kind) ?? 0)]))
  kinds.set('everything else', total - [...kinds.values()].reduce((sum, time) => sum + time, 0))
  return { total, kinds }
}

function report(title, { total, kinds }) {
  const percent = time => `${((100 * time) / total).toFixed(1)} %`
  const sorted = [...kinds].sort(([, a], [, b]) => b - a)
  const outside = sorted.filter(([kind]) => !/^linear|^attention/.test(kind)).reduce((sum, [, time]) => sum + time, 0)
  console.log(`\n${title}: ${total.toFixed(2)} ms`)
  console.log(
    formatTable(
      ['', 'ms', 'share'],
      sorted.map(([kind, time]) => [kind, time.toFixed(3), percent(time)]),
    ),
  )
  console.log(`outside linear layers and attention: ${percent(outside)}`)
}
