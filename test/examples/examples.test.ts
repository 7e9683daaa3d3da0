import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tales = join(root, 'models', 'tales')
const run = promisify(execFile)

describe('the examples', () => {
  it('quantize one matrix', async () => {
    const { stdout } = await run('node', ['examples/quantize-matrix.mjs', '3'], { cwd: root })
    assert.match(stdout, /^3\.00\d bits a weight/)
    const error = Number(/output (\d\.\d+)/.exec(stdout)?.[1])
    assert.ok(error > 0.01 && error < 0.04, stdout)
  })

  it('quantize a model, measure it and let it talk', async () => {
    const output = join(temporaryFolder(), 'quantized')
    const text = join(tales, 'evaluation.txt')
    const { stdout } = await run('node', ['examples/quantize-model.mjs', tales, output, text, '4'], { cwd: root })
    assert.match(stdout, /^\n4\.00\d bits a weight, \d+ bytes/)
    assert.match(stdout, /perplexity \d+\.\d\d \(\d+\.\d\d\), KL 0\.\d+/)
    assert.ok(stdout.trim().split('\n').length >= 3, stdout)
  })

  it('serve tokens as they come', async () => {
    const server = spawn('node', ['examples/serve.mjs', tales, '0'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const [line] = await once(server.stdout, 'data')
      const port = Number(/port (\d+)/.exec(String(line))?.[1])
      const response = await fetch(`http://localhost:${port}`, { method: 'POST', body: 'Once upon a time' })
      let chunks = 0
      let length = 0
      for await (const chunk of response.body!) {
        chunks++
        length += chunk.length
      }
      assert.equal(response.status, 200)
      assert.ok(chunks > 1 && length > chunks, `${length} bytes in ${chunks} chunks`)
    } finally {
      server.kill()
      await once(server, 'exit')
    }
  })
})
