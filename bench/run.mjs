// Speed beside peers: layers, whole models and encoding, every comparison interleaved in one run.
//
//   npm run bench -- [--only NAME] [--json FILE] [--document FILE] [--model FILE.gguf]
//     --only NAME     one of token-compact, token-split, token-any, tokens-8, tokens-64, tokens-512, encode-plain,
//                     encode-calibrated, smollm2-decode, smollm2-prompt, all of these with `targets`, or a group: layers, random-models,
//                     given-model
//     --json FILE     rows { name, layout, bitsInMemory, tokens, threads, rate, peer, peerRate, ratio }, the best peer last
//     --document FILE writes a page such as docs/performance.md, with --note TEXT on how the machine was used besides
//     --model FILE    SmolLM2-135M as a Q4_1 GGUF file; or PYRAMIDION_BENCH_MODEL. Without, what needs it is skipped
//     --rounds 5 --seconds 0.3    of each contestant in each comparison
//     --no-peers      this library alone
//
// The peers are installed into bench/node_modules on first use; random models are written into build/speed.
import { existsSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { formatTable } from '../dist/cli/terminal.js'
import { runComparisons } from './speed/comparisons.mjs'
import { performanceDocument } from './speed/document.mjs'
import { describeMachine, measureLimits } from './speed/machine.mjs'
import { installPeers, peerVersions } from './speed/peers.mjs'
import { targetRows } from './speed/rows.mjs'
import { tablesOf } from './speed/tables.mjs'
import { targets } from './speed/targets.mjs'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'string' },
    document: { type: 'string' },
    note: { type: 'string', default: '' },
    model: { type: 'string', default: process.env.PYRAMIDION_BENCH_MODEL },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.3' },
    'no-peers': { type: 'boolean', default: false },
  },
})
const groups = ['targets', 'layers', 'random-models', 'given-model', 'encode-plain', 'encode-calibrated']
const names = [...targets.map(({ name }) => name), ...groups]
if (values.only !== undefined && !names.includes(values.only)) {
  console.error(`--only must be one of ${names.join(', ')}, got ${values.only}`)
  process.exit(2)
}
const settings = { rounds: Number(values.rounds), seconds: Number(values.seconds) }

const machine = describeMachine()
const reason = values['no-peers'] ? '--no-peers' : installPeers()
if (reason !== undefined) console.error(`without peers: ${reason}`)
const model = values.model !== undefined && existsSync(values.model) ? values.model : undefined
if (model === undefined) {
  console.error(
    `smollm2 skipped: ${values.model === undefined ? 'no --model was given' : `there is no ${values.model}`}`,
  )
}
const comparisons = await runComparisons({ only: values.only, model, peers: reason === undefined, ...settings })
const threadCounts = new Set(comparisons.filter(({ group }) => group === 'layers').map(({ threads }) => threads))
const limits = Object.fromEntries([...threadCounts].map(threads => [threads, measureLimits(threads)]))

const tables = tablesOf(comparisons, limits, values.only)
for (const { title, header, rows } of tables) console.log(`\n${title}\n${formatTable(header, rows)}`)
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify(targetRows(comparisons, values.only), null, 2)}\n`)
if (values.document !== undefined) {
  const versions = reason === undefined ? peerVersions() : []
  const { only, note } = values
  writeFileSync(values.document, performanceDocument({ only, note, machine, limits, tables, versions, settings }))
  console.error(`wrote ${values.document}`)
}
