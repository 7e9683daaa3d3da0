import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointWriter, type CheckpointWriterOptions } from '../../dist/checkpoint/checkpoint-writer.js'
import { writeFileDurably } from '../../dist/checkpoint/durable-write.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { exampleFiles, exampleWeights, plainTensors } from './example-checkpoint.js'
import { expectError } from './expect-error.js'
import { temporaryFolder } from './temporary-folder.js'

const options = (output: string, more: Partial<CheckpointWriterOptions> = {}): CheckpointWriterOptions => ({
  output,
  fingerprint: 'source and options',
  files: exampleFiles,
  quantization: { bits: 3.25 },
  ...more,
})

/** Adds whatever is not there yet; stops after `limit` weights. Returns how many it added. */
async function addAll(writer: CheckpointWriter, limit = Number.POSITIVE_INFINITY): Promise<number> {
  let added = 0
  for (const [name, stored] of exampleWeights())
    if (!writer.has(name) && added < limit) {
      await writer.addQuantized(name, stored, { error: 0.5 })
      ++added
    }
  for (const [name, tensor] of plainTensors())
    if (!writer.has(name) && added < limit) {
      await writer.addPlain(name, tensor)
      ++added
    }
  return added
}

function contents(folder: string): Record<string, string> {
  return Object.fromEntries(readdirSync(folder).map(name => [name, readFileSync(join(folder, name), 'base64')]))
}

async function write(output: string, more: Partial<CheckpointWriterOptions> = {}): Promise<Record<string, string>> {
  const writer = await CheckpointWriter.open(options(output, more))
  await addAll(writer)
  await writer.finalize()
  return contents(output)
}

describe('CheckpointWriter', () => {
  it('writes a folder that opens as a quantized model', async () => {
    const output = join(temporaryFolder(), 'deep', 'out')
    const writer = await CheckpointWriter.open(options(output))
    await addAll(writer)
    assert.ok(!existsSync(output), 'nothing has the final name yet')
    const { bytes, files } = await writer.finalize()
    assert.deepEqual(files, ['config.json', 'model.safetensors', 'tokenizer.json'])
    assert.deepEqual(readdirSync(output).sort(), files)
    assert.equal(
      bytes,
      files.reduce((sum, name) => sum + statSync(join(output, name)).size, 0),
    )
    assert.ok(!existsSync(`${output}.partial`))
    const source = await openModel(output)
    assert.equal(source.kind, 'quantized')
    assert.deepEqual(source.quantizationConfig, { quant_method: 'pvq', version: 1, bits: 3.25 })
    assert.deepEqual([...source.quantized.keys()].sort(), [...exampleWeights().keys()].sort())
    for (const [name, { data }] of plainTensors()) assert.deepEqual(await source.read(name), data)
    await source.close()
  })

  it('shows what is finished as the folder will have it, and replaces values in the result alone', async () => {
    const output = join(temporaryFolder(), 'out')
    const writer = await CheckpointWriter.open(options(output))
    await addAll(writer)
    const { finished } = writer
    const [[name, { data }]] = plainTensors()
    assert.deepEqual(await finished.read(name), data)
    const other = data.map(byte => byte ^ 1)
    writer.replace(name, other)
    await expectError(() => writer.replace(name, data.subarray(1)), 'INVALID_SHAPE', /must have .* bytes/)
    await expectError(() => writer.replace('other', data), 'INVALID_SHAPE', /must have no bytes/)
    assert.deepEqual(await writer.finished.read(name), data)
    await expectError(() => finished.read('other'), 'MISSING_TENSOR', /no tensor other/)
    await writer.finalize()
    const source = await openModel(output)
    assert.deepEqual(await source.read(name), other)
    assert.deepEqual([...source.tensors.keys()].sort(), [...finished.tensors.keys()].sort())
    assert.deepEqual([...source.quantized].sort(), [...finished.quantized].sort())
    await source.close()
  })

  it('ends in the same bytes when it resumes after any number of weights', async () => {
    const folder = temporaryFolder()
    const whole = await write(join(folder, 'whole'))
    const count = exampleWeights().size + plainTensors().size
    for (let limit = 0; limit <= count; ++limit) {
      const output = join(folder, `resumed-${limit}`)
      const first = await CheckpointWriter.open(options(output))
      await addAll(first, limit)
      await first.abort({ keep: true })
      const second = await CheckpointWriter.open(options(output))
      assert.equal(await addAll(second), count - limit)
      await second.finalize()
      assert.deepEqual(contents(output), whole)
    }
  })

  it('ends in the same bytes after its process was killed at any moment', async function () {
    this.timeout(120_000)
    const folder = temporaryFolder()
    const whole = await write(join(folder, 'whole'))
    const output = join(folder, 'killed')
    const program = join(import.meta.dirname, 'killed-writer.ts')
    for (let delay = 0; delay < 8; ++delay) {
      const child: ChildProcess = fork(program, [output], { execArgv: ['--import', 'tsx'] })
      const ended = new Promise(resolve => child.once('exit', resolve))
      await new Promise(resolve => child.once('message', resolve))
      await new Promise(resolve => setTimeout(resolve, delay * 8))
      child.kill('SIGKILL')
      await ended
    }
    // A kill may have come after the end: then the output is whole already.
    if (!existsSync(output)) await write(output)
    assert.deepEqual(contents(output), whole)
  })

  it('gives back the notes of finished weights when it resumes', async () => {
    const output = join(temporaryFolder(), 'out')
    const first = await CheckpointWriter.open(options(output))
    await addAll(first, 1)
    await first.abort({ keep: true })
    const [name] = exampleWeights().keys()
    const second = await CheckpointWriter.open(options(output))
    assert.deepEqual(second.note(name), { error: 0.5 })
    assert.equal(second.note('something.weight'), undefined)
    await second.abort({ keep: false })
    assert.ok(!existsSync(`${output}.partial`))
  })

  it('starts over when the fingerprint differs, and repairs damaged leftovers', async () => {
    const output = join(temporaryFolder(), 'out')
    const first = await CheckpointWriter.open(options(output))
    await addAll(first)
    await first.abort({ keep: true })
    const weights = join(`${output}.partial`, 'weights')
    const names = readdirSync(weights)
    writeFileSync(join(weights, names[0]), readFileSync(join(weights, names[0])).subarray(0, 50))
    writeFileSync(join(weights, 'half.safetensors.new'), 'half')
    const same = await CheckpointWriter.open(options(output))
    assert.equal(await addAll(same), 1)
    await same.abort({ keep: true })
    const other = await CheckpointWriter.open(options(output, { fingerprint: 'other options' }))
    assert.equal(await addAll(other), names.length)
    await other.abort({ keep: false })
  })

  it('writes shards and an index beyond the size limit, with equal contents', async () => {
    const folder = temporaryFolder()
    await write(join(folder, 'one'))
    const files = Object.keys(await write(join(folder, 'many'), { shardBytes: 400 }))
    assert.ok(files.filter(name => name.startsWith('model-0000')).length > 2, files.join())
    assert.ok(files.includes('model.safetensors.index.json'))
    const one = await openModel(join(folder, 'one'))
    const many = await openModel(join(folder, 'many'))
    assert.deepEqual([...many.quantized].sort(), [...one.quantized].sort())
    assert.deepEqual([...many.tensors.keys()].sort(), [...one.tensors.keys()].sort())
    for (const name of one.tensors.keys()) assert.deepEqual(await many.read(name), await one.read(name))
    await one.close()
    await many.close()
  })

  it('does not depend on the order in which weights come', async () => {
    const folder = temporaryFolder()
    const forward = await write(join(folder, 'forward'))
    const writer = await CheckpointWriter.open(options(join(folder, 'backward')))
    for (const [name, tensor] of plainTensors()) await writer.addPlain(name, tensor)
    for (const [name, stored] of [...exampleWeights()].reverse()) await writer.addQuantized(name, stored)
    await writer.finalize()
    assert.deepEqual(contents(join(folder, 'backward')), forward)
  })

  it('refuses an existing output unless it may overwrite it, and replaces only models', async () => {
    const output = join(temporaryFolder(), 'out')
    const whole = await write(output)
    await expectError(
      () => CheckpointWriter.open(options(output)),
      'OUTPUT_EXISTS',
      /exists already; ask for overwrite/,
    )
    writeFileSync(join(output, 'extra'), 'x')
    const writer = await CheckpointWriter.open(options(output, { overwrite: true }))
    await addAll(writer)
    assert.ok(existsSync(join(output, 'extra')), 'the old folder stays until the end')
    await writer.finalize()
    assert.deepEqual(contents(output), whole)

    const foreign = temporaryFolder({ 'thesis.txt': 'words' })
    await expectError(
      () => CheckpointWriter.open(options(foreign, { overwrite: true })),
      'OUTPUT_EXISTS',
      /not a model/,
    )
    const file = join(temporaryFolder({ file: 'x' }), 'file')
    await expectError(() => CheckpointWriter.open(options(file, { overwrite: true })), 'OUTPUT_EXISTS', /is a file/)
    const empty = temporaryFolder()
    assert.deepEqual(await write(empty), whole)
  })

  it('never removes a partial folder that it did not write', async () => {
    const output = join(temporaryFolder({ 'out.partial/thesis.txt': 'words' }), 'out')
    await expectError(() => CheckpointWriter.open(options(output)), 'OUTPUT_EXISTS', /not written by this library/)
    assert.equal(readFileSync(join(`${output}.partial`, 'thesis.txt'), 'utf8'), 'words')
  })

  it('turns failures to write into WRITE_FAILED and leaves nothing at the output', async () => {
    const folder = temporaryFolder({ file: 'x' })
    await expectError(() => CheckpointWriter.open(options(join(folder, 'file', 'out'))), 'OUTPUT_EXISTS', /inside one/)
    const output = join(folder, 'out')
    const writer = await CheckpointWriter.open(options(output))
    await addAll(writer)
    rmSync(join(`${output}.partial`, 'weights'), { recursive: true })
    await expectError(
      () => writer.addPlain('more', { format: 'u8', shape: [1], data: new Uint8Array(1) }),
      'WRITE_FAILED',
      /vanished/,
    )
    await assert.rejects(() => writer.finalize())
    assert.ok(!existsSync(output))
    await writer.abort({ keep: false })
    assert.deepEqual(readdirSync(folder), ['file'])
  })

  it('reports a full disk', async function () {
    // /dev/full is a device on which every write fails for want of space.
    if (!existsSync('/dev/full')) {
      console.log('      skipped: this system has no /dev/full')
      return this.skip()
    }
    await expectError(() => writeFileDurably('/dev/full', [new Uint8Array(10)]), 'WRITE_FAILED', /no space is left/)
  })

  it('refuses tensors that contradict themselves, and use after its end', async () => {
    const output = join(temporaryFolder(), 'out')
    const writer = await CheckpointWriter.open(options(output))
    await expectError(() => writer.finalize(), 'EMPTY', /at least one tensor/)
    const tensor = { format: 'f32' as const, shape: [2], data: new Uint8Array(8) }
    await expectError(() => writer.addPlain('a', { ...tensor, shape: [3] }), 'INVALID_SHAPE', /tensor a/)
    await expectError(() => writer.addPlain('a', { ...tensor, format: 'q8_0' }), 'INVALID_SHAPE', /tensor a/)
    await writer.addPlain('a', tensor)
    await expectError(() => writer.addPlain('a', tensor), 'INVALID_ARGUMENT', /already/)
    const [[name, stored]] = exampleWeights()
    await expectError(() => writer.addQuantized('name', stored), 'INVALID_ARGUMENT', /must end in .weight/)
    const { weights } = stored
    assert.ok('codes' in weights)
    const short = { ...stored, weights: { ...weights, codes: weights.codes.subarray(1) } }
    await expectError(() => writer.addQuantized(name, short), 'INVALID_SHAPE', /codes must have/)
    await writer.abort({ keep: false })
    await expectError(() => writer.addPlain('b', tensor), 'DISPOSED', /has ended/)
    await writer.abort({ keep: false })
    await expectError(() => CheckpointWriter.open(options('')), 'INVALID_ARGUMENT', /output must be/)
    mkdirSync(output)
  })
})
