// The command line as a user meets it: separate processes on the shipped model.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = join(import.meta.dirname, '../../dist/cli/main.js')
const tales = join(import.meta.dirname, '../../models/tales')

interface Result {
  status: number | null
  stdout: string
  stderr: string
}

function pyramidion(args: string[], options: { input?: string; interruptAfter?: number } = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => {
      stdout += chunk
    })
    child.stderr.on('data', chunk => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('close', status => resolve({ status, stdout, stderr }))
    child.stdin.end(options.input ?? '')
    if (options.interruptAfter !== undefined) setTimeout(() => child.kill('SIGINT'), options.interruptAfter)
  })
}

describe('the command line', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pyramidion-cli-'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  it('explains itself, and each command, with --help', async () => {
    const { status, stdout } = await pyramidion(['--help'])
    assert.equal(status, 0)
    for (const command of ['quantize', 'evaluate', 'generate', 'inspect']) {
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'))
      const help = await pyramidion([command, '--help'])
      assert.equal(help.status, 0)
      assert.match(help.stdout, new RegExp(`Usage: pyramidion ${command}`))
    }
  })

  it('prints the version of the package', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'))
    assert.equal((await pyramidion(['--version'])).stdout, `${version}\n`)
  })

  it('ends with status 2 and a hint on wrong usage', async () => {
    for (const args of [
      ['quantize', tales],
      ['quantize', tales, '--output', join(folder, 'x'), '--bits', '0.5'],
      ['quantize', tales, '--output', join(folder, 'x'), '--bits', '3', '--quantizer', 'magic'],
      ['evaluate', tales],
      ['evaluate', tales, '--text', 'x', '--activations', 'int3'],
      ['evaluate', tales, '--text', 'x', '--kv-cache', 'f8'],
      ['evaluate', tales, '--text', 'x', '--activations', 'pvq:1,2,3,x'],
      ['fly'],
    ]) {
      const { status, stdout, stderr } = await pyramidion(args)
      assert.equal(status, 2, args.join(' '))
      assert.equal(stdout, '')
      assert.match(stderr, /error: .*\n\(--help explains the options\)/)
    }
  })

  it('ends with status 1 and a stable code when the work cannot be done', async () => {
    const missing = join(folder, 'missing')
    const { status, stdout, stderr } = await pyramidion(['inspect', missing, '--json'])
    assert.equal(status, 1)
    assert.equal(JSON.parse(stdout).error.code, 'FILE_NOT_FOUND')
    assert.match(stderr, /^error FILE_NOT_FOUND: /)
    assert.doesNotMatch(stderr, /\n {4}at /, 'a stack trace is for bugs only')
  })

  it('quantizes, measures, lists and runs a model, each with one JSON object', async () => {
    const output = join(folder, 'tales-3.25')
    const args = ['quantize', tales, '--output', output, '--bits', '3.25', '--lattice', 'barnes-wall', '--json']
    const quantized = await pyramidion(args)
    assert.equal(quantized.status, 0, quantized.stderr)
    assert.equal(quantized.stderr, '', 'nothing but the result in a pipe')
    const { bitsPerWeight, linearBitsPerWeight, bytes, seconds, peakMemoryBytes } = JSON.parse(quantized.stdout)
    assert.ok(Math.abs(linearBitsPerWeight - 3.25) <= 0.01, `linear layers at ${linearBitsPerWeight} bits`)
    assert.ok(bitsPerWeight > linearBitsPerWeight && bitsPerWeight < 6)
    assert.ok(bytes > 1e6 && bytes < 4e6 && seconds > 0 && peakMemoryBytes > bytes)

    const text = join(folder, 'text.txt')
    await writeFile(text, (await readFile(join(tales, 'evaluation.txt'), 'utf8')).slice(0, 12_000))
    const evaluateArgs = ['evaluate', output, '--text', text, '--reference', tales, '--windows', '4', '--json']
    const evaluated = await pyramidion(evaluateArgs)
    assert.equal(evaluated.status, 0, evaluated.stderr)
    const result = JSON.parse(evaluated.stdout)
    assert.equal(result.tokens, 4 * 255)
    assert.ok(result.perplexity > 10 && result.perplexity < 80)
    assert.ok(result.klDivergence.mean > 0 && result.klDivergence.mean < 1)
    assert.ok(result.klDivergence.median <= result.klDivergence.p99)
    assert.ok(result.topAgreement > 0.5 && result.topAgreement < 1)
    assert.ok(result.reference.perplexity > 10 && result.tokensPerSecond > 0)
    const elsewhere = await pyramidion([...evaluateArgs, '--device', 'auto'])
    assert.equal(elsewhere.status, 0, elsewhere.stderr)
    // To the last bit where no GPU is there; inputs rounded to int8 would change the sixth digit.
    if (/no GPU can be used/.test(elsewhere.stderr)) {
      assert.equal(JSON.parse(elsewhere.stdout).perplexity, result.perplexity)
    }

    const inspected = JSON.parse((await pyramidion(['inspect', output, '--json'])).stdout)
    assert.equal(inspected.kind, 'quantized')
    assert.equal(inspected.linearBitsPerWeight, linearBitsPerWeight)
    assert.equal(inspected.weights.filter((weight: { format: string }) => weight.format === 'pvq').length, 6 * 7)
    assert.match(inspected.weights.find((weight: { linear: boolean }) => weight.linear).settings, /Barnes-Wall/)

    const generateArgs = ['generate', output, '--max-tokens', '8', '--json']
    const generated = await pyramidion(generateArgs, { input: 'Once upon a time' })
    assert.equal(generated.status, 0, generated.stderr)
    assert.equal(JSON.parse(generated.stdout).prompt, 'Once upon a time')
    assert.ok(JSON.parse(generated.stdout).text.length > 4)
  })

  it('prints both rates, the size, and what each kind of layer got', async () => {
    const output = join(folder, 'two-megabytes')
    const { status, stdout } = await pyramidion(['quantize', tales, '--output', output, '--size', '2MB', '--quiet'])
    assert.equal(status, 0)
    assert.match(
      stdout,
      /bits a weight in the linear layers, \d\.\d{3} over the whole model, .*weights (1\.99|2\.00) MB/,
    )
    for (const kind of ['embed_tokens', 'self_attn.q_proj', 'mlp.down_proj']) {
      assert.match(stdout, new RegExp(`^${kind} +[16] +\\d\\.\\d{3} +\\d\\.\\d{3} +\\d\\.\\d{3}$`, 'm'))
    }
  })

  it('does not replace an output folder unless told to', async () => {
    const output = join(folder, 'kept')
    const args = ['quantize', tales, '--output', output, '--bits', '2', '--json']
    assert.equal((await pyramidion(args)).status, 0)
    const again = await pyramidion(args)
    assert.equal(again.status, 1)
    assert.equal(JSON.parse(again.stdout).error.code, 'OUTPUT_EXISTS')
    assert.equal((await pyramidion([...args, '--overwrite'])).status, 0)
  })

  it('leaves no output behind when interrupted, and finishes the same bytes when run again', async () => {
    const output = join(folder, 'interrupted')
    const args = ['quantize', tales, '--no-report', '--output', output, '--bits', '3']
    let stopped: Result | undefined
    // The machine decides how far a run gets; try later and later until one is caught at work.
    for (let delay = 150; delay < 5000 && stopped === undefined; delay *= 1.25) {
      const result = await pyramidion(args, { interruptAfter: delay })
      if (result.status === 130) stopped = result
      else if (result.status === 0) break
    }
    assert.ok(stopped !== undefined, 'no run was interrupted')
    assert.match(stopped.stderr, /^error ABORTED: /)
    assert.ok(!existsSync(output))

    assert.equal((await pyramidion(args)).status, 0)
    const whole = join(folder, 'whole')
    assert.equal((await pyramidion(['quantize', tales, '--no-report', '--output', whole, '--bits', '3'])).status, 0)
    for (const name of await readdir(whole)) {
      assert.deepEqual(await readFile(join(output, name)), await readFile(join(whole, name)), name)
    }
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.endsWith('.partial')),
      [],
    )
  })
})
