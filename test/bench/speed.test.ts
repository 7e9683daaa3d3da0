// The speed benchmark as a user runs it, without peers: they are large, and not installed where the tests run.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openModel } from '../../dist/index.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

describe('the speed benchmark', () => {
  it('measures what it is asked for, says what it leaves out, and writes rows', async () => {
    const path = join(temporaryFolder(), 'rows.json')
    for (const name of ['encode-plain', 'token-compact']) {
      const quick = ['--no-peers', '--rounds', '1', '--seconds', '0.01', '--only', name, '--json', path]
      const { stdout, stderr } = await run('node', ['bench/run.mjs', ...quick], { cwd: root })
      assert.match(stderr, /^without peers: --no-peers$/m)
      const [row, ...others] = JSON.parse(readFileSync(path, 'utf8'))
      assert.deepEqual(others, [])
      const { rate, bitsInMemory, ...rest } = row
      const layer = name === 'token-compact'
      const expected = layer
        ? { name, layout: 'compact', tokens: 1, threads: 2 }
        : { name, layout: null, tokens: null, threads: 1 }
      assert.deepEqual(rest, { ...expected, peer: null, peerRate: null, ratio: null })
      assert.ok(rate > 1e5 && rate < 1e13, `rate ${rate}`)
      if (layer) assert.ok(bitsInMemory > 3 && bitsInMemory < 3.1, `bits ${bitsInMemory}`)
      assert.match(stdout, new RegExp(`^${name} .*not installed`, 'm'))
    }
  })

  it('says which names there are', async () => {
    await assert.rejects(run('node', ['bench/run.mjs', '--only', 'token'], { cwd: root }), {
      code: 2,
      stderr: /--only must be one of token-compact, .*, got token\n/,
    })
  })

  it('writes models of random blocks that are what they say', async () => {
    const shape = {
      hidden: 256,
      intermediate: 512,
      heads: 4,
      keyValueHeads: 2,
      layers: 1,
      vocabulary: 300,
      context: 64,
    }
    const path = join(temporaryFolder(), 'random.gguf')
    // In a process of its own: the loader of these tests would load dist/ once more for a module outside them.
    const program = `
      import { blockTypes, writeRandomGguf } from './bench/speed/random-gguf.mjs'
      if (!blockTypes.includes('Q4_K')) throw new Error('no Q4_K')
      await writeRandomGguf(${JSON.stringify(path)}, ${JSON.stringify(shape)}, 'Q4_K')`
    await run('node', ['--input-type=module', '-e', program], { cwd: root })
    const source = await openModel(path)
    try {
      const down = 'model.layers.0.mlp.down_proj.weight'
      assert.deepEqual(source.tensors.get(down)?.shape, [256, 512])
      assert.equal(source.tensors.get(down)?.format, 'q4_k')
      assert.equal((await source.tokenizer()).vocabularySize, 300)
    } finally {
      await source.close()
    }
  })
})
