// The accuracy benchmark as a user runs it: it measures, remembers, and writes the document.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

describe('the accuracy benchmark', () => {
  it('measures a cell once, and writes what it has measured', async () => {
    const folder = temporaryFolder()
    const [results, document] = ['results.json', 'accuracy.md'].map(name => join(folder, name))
    const accuracy = (...args: string[]) =>
      run('node', ['bench/accuracy.mjs', '--results', results, '--document', document, '--windows', '2', ...args], {
        cwd: root,
      })
    const first = await accuracy('--methods', '^PVQ, nearest$', '--bits', '3')
    assert.match(first.stderr, /^tales, PVQ, nearest, 3 bits: KL 0\.\d{4} at 3\.000$/m)
    const [cell] = Object.values(JSON.parse(readFileSync(results, 'utf8'))) as Record<string, number>[]
    const page = readFileSync(document, 'utf8')
    const row = page.split('\n').find(line => line.startsWith('| PVQ, nearest | 3.0'))
    assert.ok(row?.includes(` ${cell.perplexity.toFixed(2)} |`), page)
    assert.match(page, /^## tales$/m)

    const second = await accuracy('--methods', '^PVQ, nearest$', '--bits', '3')
    assert.match(second.stderr, /measured before/)
    await accuracy('--render')
    assert.equal(readFileSync(document, 'utf8'), page)
  })

  it('says what it wants when a text is missing', async () => {
    await assert.rejects(run('node', ['bench/accuracy.mjs', 'models/tales'], { cwd: root }), {
      code: 2,
      stderr: /usage: .*\[SOURCE CALIBRATION TEXT\]/,
    })
  })
})
