import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { gguf } from '@huggingface/gguf'
import { BinaryFile } from '../../dist/checkpoint/binary-file.js'
import { readGgufHeader } from '../../dist/checkpoint/gguf-header.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { expectError, expectSuccessOrCleanError } from './expect-error.js'
import { ggufBytes, type Pair, type TensorSpec } from './gguf-bytes.js'
import { SeededRandom } from './seeded-random.js'
import { temporaryFolder } from './temporary-folder.js'

// Two heads of 4, one key-value head, width 8, one layer.
const pairs: Pair[] = [
  ['general.architecture', 'string', 'llama'],
  ['llama.block_count', 'uint32', 1],
  ['llama.context_length', 'uint32', 64],
  ['llama.embedding_length', 'uint32', 8],
  ['llama.feed_forward_length', 'uint32', 16],
  ['llama.attention.head_count', 'uint32', 2],
  ['llama.attention.head_count_kv', 'uint32', 1],
  ['llama.attention.layer_norm_rms_epsilon', 'float32', 1e-5],
  ['llama.rope.freq_base', 'float32', 50000],
]

const f32 = (count: number, first = 0) =>
  new Uint8Array(Float32Array.from({ length: count }, (_, i) => first + i).buffer)

const embedding: TensorSpec = { name: 'token_embd.weight', dimensions: [8, 10], type: 0, data: f32(80) }
const query: TensorSpec = { name: 'blk.0.attn_q.weight', dimensions: [8, 8], type: 0, data: f32(64) }
const key: TensorSpec = { name: 'blk.0.attn_k.weight', dimensions: [8, 4], type: 0, data: f32(32) }
const value: TensorSpec = { name: 'blk.0.attn_v.weight', dimensions: [8, 4], type: 0, data: f32(32) }
const tensors = [embedding, query, key, value]

function changed(...changes: Pair[]): Pair[] {
  const keys = changes.map(([name]) => name)
  return [...pairs.filter(([name]) => !keys.includes(name)), ...changes]
}

function fileOf(bytes: Uint8Array): string {
  return join(temporaryFolder({ 'model.gguf': bytes }), 'model.gguf')
}

const opened = (p: Pair[], t: TensorSpec[] = tensors) => openModel(fileOf(ggufBytes(p, t).bytes))

describe('a GGUF file', () => {
  it('gives Hugging Face names, shapes and a configuration', async () => {
    const source = await opened(pairs)
    assert.equal(source.kind, 'gguf')
    assert.deepEqual(
      [...source.tensors].map(([name, { shape }]) => [name, shape]),
      [
        ['model.embed_tokens.weight', [10, 8]],
        ['model.layers.0.self_attn.q_proj.weight', [8, 8]],
        ['model.layers.0.self_attn.k_proj.weight', [4, 8]],
        ['model.layers.0.self_attn.v_proj.weight', [4, 8]],
      ],
    )
    assert.deepEqual(source.config, {
      architecture: 'llama',
      vocabularySize: 10,
      hiddenSize: 8,
      intermediateSize: 16,
      layers: 1,
      heads: 2,
      keyValueHeads: 1,
      headDimension: 4,
      maximumPositions: 64,
      rmsNormEpsilon: Math.fround(1e-5),
      rope: { theta: 50000 },
      tieWordEmbeddings: true,
      queryKeyValueBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      queryKeyNorm: false,
      attentionWindows: [0],
      eosTokenIds: [],
    })
    assert.deepEqual(await source.read('model.embed_tokens.weight'), embedding.data)
    await source.close()
  })

  it('puts interleaved query and key rows back in half-split order, for llama only', async () => {
    // Reference: in a head of 4, the file's rows are the Hugging Face rows 0, 2, 1, 3.
    const rowsOf = async (architecture: string) => {
      const renamed = pairs.map(
        ([name, type, v]) =>
          [name.replace('llama.', `${architecture}.`), type, v === 'llama' ? architecture : v] as Pair,
      )
      const source = await opened(renamed)
      const first = async (name: string) => {
        const values = new Float32Array((await source.read(`model.layers.0.self_attn.${name}.weight`)).buffer)
        return Array.from({ length: values.length / 8 }, (_, row) => values[row * 8] / 8)
      }
      const rows = [await first('q_proj'), await first('k_proj'), await first('v_proj')]
      await source.close()
      return rows
    }
    assert.deepEqual(await rowsOf('llama'), [
      [0, 2, 1, 3, 4, 6, 5, 7],
      [0, 2, 1, 3],
      [0, 1, 2, 3],
    ])
    assert.deepEqual(await rowsOf('qwen2'), [
      [0, 1, 2, 3, 4, 5, 6, 7],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ])
  })

  it('reads every supported type with its block size', async () => {
    const types: [number, string, number, number][] = [
      [0, 'f32', 1, 4],
      [1, 'f16', 1, 2],
      [30, 'bf16', 1, 2],
      [8, 'q8_0', 32, 34],
      [2, 'q4_0', 32, 18],
      [3, 'q4_1', 32, 20],
      [12, 'q4_k', 256, 144],
      [14, 'q6_k', 256, 210],
    ]
    const random = new SeededRandom(3)
    for (const [type, format, values, bytes] of types) {
      const columns = 3 * values
      const tensor = { name: 'output.weight', dimensions: [columns, 5], type, data: random.bytes(15 * bytes) }
      const source = await opened(pairs, [...tensors, tensor])
      assert.equal(source.config.tieWordEmbeddings, false)
      assert.equal(source.tensors.get('lm_head.weight')?.format, format)
      assert.deepEqual(await source.read('lm_head.weight'), tensor.data, format)
      await source.close()
      if (values === 1) continue
      const ragged = { ...tensor, dimensions: [columns + 1, 5] }
      await expectError(() => opened(pairs, [...tensors, ragged]), 'INVALID_FILE', /cannot be stored as/)
    }
  })

  it('names a type it does not read and the tensor that has it', async () => {
    const tensor = (type: number) => [...tensors, { name: 'output.weight', dimensions: [32, 1], type, data: f32(8) }]
    await expectError(
      () => opened(pairs, tensor(6)),
      'UNSUPPORTED_FORMAT',
      /tensor output.weight has type Q5_0; supported/,
    )
    await expectError(() => opened(pairs, tensor(999)), 'UNSUPPORTED_FORMAT', /type number 999/)
  })

  it('understands rotary scaling in key-value pairs and in rope_freqs', async () => {
    const scaled = await opened([
      ...pairs,
      ['llama.rope.scaling.type', 'string', 'yarn'],
      ['llama.rope.scaling.factor', 'float32', 4],
      ['llama.rope.scaling.original_context_length', 'uint32', 16],
    ])
    assert.deepEqual(scaled.config.rope.scaling, {
      kind: 'yarn',
      factor: 4,
      originalMaximumPositions: 16,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
      truncate: true,
    })
    await scaled.close()
    const factors = { name: 'rope_freqs.weight', dimensions: [2], type: 0, data: f32(2, 1) }
    const source = await opened(pairs, [...tensors, factors])
    assert.deepEqual(source.config.rope.scaling, { kind: 'factors', factors: [1, 2] })
    assert.ok(!source.tensors.has('rope_freqs.weight'))
    await source.close()
    const zero = { ...factors, data: f32(2) }
    await expectError(() => opened(pairs, [...tensors, zero]), 'INVALID_FILE', /rope_freqs.weight must hold positive/)
    const long = { ...factors, dimensions: [3], data: f32(3, 1) }
    await expectError(() => opened(pairs, [...tensors, long]), 'INVALID_FILE', /rope_freqs.weight must have 2 values/)
  })

  it('refuses architectures and settings it does not run', async () => {
    const cases: [Pair, 'UNSUPPORTED_ARCHITECTURE' | 'INVALID_FILE' | 'UNSUPPORTED_FORMAT', RegExp][] = [
      [['general.architecture', 'string', 'gemma2'], 'UNSUPPORTED_ARCHITECTURE', /gemma2; supported are llama/],
      [['general.architecture', 'uint32', 1], 'INVALID_FILE', /general.architecture must be a string, got 1/],
      [['llama.expert_count', 'uint32', 8], 'UNSUPPORTED_ARCHITECTURE', /mixture of experts/],
      [['llama.block_count', 'uint32', 0], 'INVALID_FILE', /block_count/],
      [['llama.block_count', 'uint64', 2n ** 60n], 'INVALID_FILE', /block_count/],
      [['llama.attention.head_count_kv', 'int32[]', [1, 1]], 'INVALID_FILE', /head_count_kv/],
      [['llama.attention.head_count', 'uint32', 3], 'INVALID_FILE', /key_length|head_count/],
      [
        ['llama.rope.dimension_count', 'uint32', 2],
        'INVALID_FILE',
        /rope.dimension_count must be the head dimension, 4/,
      ],
      [['llama.rope.scaling.type', 'string', 'longrope'], 'UNSUPPORTED_FORMAT', /longrope; supported/],
      [['llama.attention.layer_norm_rms_epsilon', 'float32', Number.NaN], 'INVALID_FILE', /epsilon/],
      [['general.alignment', 'uint32', 7], 'INVALID_FILE', /alignment must be a power of two/],
      [['general.alignment', 'uint32', 0], 'INVALID_FILE', /alignment/],
    ]
    for (const [pair, code, message] of cases) await expectError(() => opened(changed(pair)), code, message)
    const strange = { name: 'blk.0.ssm_in.weight', dimensions: [8], type: 0, data: f32(8) }
    await expectError(() => opened(pairs, [...tensors, strange]), 'UNSUPPORTED_ARCHITECTURE', /blk.0.ssm_in.weight/)
    await expectError(() => opened(pairs, [query]), 'MISSING_TENSOR', /token_embd.weight is missing/)
  })

  it('refuses tensors outside the file, on top of each other, unaligned, twice or empty', async () => {
    const cases: [TensorSpec[], RegExp][] = [
      [[{ ...embedding, offset: 2 ** 40 }], /truncated/],
      [[{ ...embedding, dimensions: [8, 2 ** 40] }], /truncated/],
      [[{ ...embedding, dimensions: [2 ** 52, 2 ** 52] }], /cannot be stored/],
      [[embedding, { ...query, offset: 32 }], /overlaps/],
      [[embedding, { ...query, offset: 321 }], /not aligned/],
      [[embedding, embedding], /twice/],
      [[{ ...embedding, dimensions: [8, 0], data: f32(0) }], /is empty/],
      [[{ ...embedding, dimensions: [] }], /0 dimensions/],
      [[{ ...embedding, dimensions: [2, 2, 2, 2, 2] }], /5 dimensions/],
    ]
    for (const [specs, message] of cases) await expectError(() => opened(pairs, specs), 'INVALID_FILE', message)
  })

  it('refuses counts and lengths that the file cannot hold, at once', async () => {
    const { bytes } = ggufBytes([['a', 'string', 'text'], ['b', 'float32[]', [1, 2]], ...pairs], tensors)
    // Positions of the 64-bit counts: tensors, pairs, the first key's length, its value's length.
    for (const position of [8, 16, 24, 24 + 8 + 1 + 4])
      for (const count of [2n ** 64n - 1n, 2n ** 53n, 2n ** 40n, 2n ** 31n]) {
        const broken = Buffer.from(bytes)
        broken.writeBigUInt64LE(count, position)
        await expectError(() => openModel(fileOf(broken)), 'INVALID_FILE', /number of|length|truncated/)
      }
    const array = Buffer.from(bytes)
    array.writeBigUInt64LE(2n ** 50n, bytes.indexOf('b', 40) + 1 + 4 + 4)
    await expectError(() => openModel(fileOf(array)), 'INVALID_FILE', /number of elements of b/)
  })

  it('refuses other versions, byte orders, value types and files that are no GGUF at all', async () => {
    const { bytes } = ggufBytes(pairs, tensors)
    const patched = (position: number, byte: number) => {
      const copy = Buffer.from(bytes)
      copy[position] = byte
      return fileOf(copy)
    }
    await expectError(() => openModel(patched(0, 0)), 'INVALID_FILE', /not a GGUF file/)
    await expectError(() => openModel(patched(4, 1)), 'UNSUPPORTED_FORMAT', /version 1; supported/)
    const bigEndian = Buffer.from(bytes)
    bigEndian.writeUInt32BE(3, 4)
    await expectError(() => openModel(fileOf(bigEndian)), 'UNSUPPORTED_FORMAT', /big-endian/)
    await expectError(() => openModel(patched(24 + 8 + 20, 77)), 'INVALID_FILE', /value type 77/)
    await expectError(() => opened([...pairs, pairs[1]]), 'INVALID_FILE', /block_count is there twice/)
    await expectError(() => openModel(fileOf(new Uint8Array(0))), 'INVALID_FILE', /truncated/)
  })

  it('is refused when cut at any byte of its header or inside a tensor', async function () {
    this.timeout(60_000)
    const { bytes, headerEnd } = ggufBytes(pairs, tensors)
    const lengths = [...Array(headerEnd).keys(), headerEnd, bytes.length - 200]
    for (const length of lengths)
      await expectError(() => openModel(fileOf(bytes.subarray(0, length))), 'INVALID_FILE', /./)
  })

  it('survives any damage to its header with a clear error or a valid model', async function () {
    this.timeout(60_000)
    const seed = 4242
    const random = new SeededRandom(seed)
    const { bytes, headerEnd } = ggufBytes(pairs, tensors)
    const path = fileOf(bytes)
    const file = await open(path, 'r+')
    for (let round = 0; round < 3000; ++round) {
      const broken = Buffer.from(bytes)
      for (let flips = 1 + random.below(3); flips > 0; --flips) broken[random.below(headerEnd)] ^= 1 << random.below(8)
      await file.write(broken, 0, broken.length, 0)
      const action = async () => {
        const source = await openModel(path)
        try {
          for (const name of source.tensors.keys()) await source.read(name)
          await source.files()
        } finally {
          await source.close()
        }
      }
      await expectSuccessOrCleanError(action, `seed ${seed}, round ${round}`)
    }
    await file.close()
  })

  it('means the same to @huggingface/gguf', async () => {
    const path = fileOf(ggufBytes([...pairs, ['list', 'string[]', ['é', '']], ['big', 'uint64', 7n]], tensors).bytes)
    const reference = await gguf(path, { allowLocalFile: true })
    const file = await BinaryFile.open(path)
    const header = await readGgufHeader(file)
    await file.close()
    for (const [key, value] of header.metadata) {
      const other = (reference.metadata as Record<string, unknown>)[key]
      assert.deepEqual(typeof other === 'bigint' ? Number(other) : other, value, key)
    }
    assert.equal(BigInt(header.dataStart), reference.tensorDataOffset)
    assert.deepEqual(
      header.tensors.map(({ name, dimensions, type, offset }) => [name, dimensions, type, offset]),
      reference.tensorInfos.map(({ name, shape, dtype, offset }) => [name, shape.map(Number), dtype, Number(offset)]),
    )
  })

  it('of a real model opens from its folder', async function () {
    const folder = join(import.meta.dirname, '../../../shared/models/smollm2-135m-instruct')
    if (!existsSync(folder)) {
      console.log('      skipped: ../shared/models/smollm2-135m-instruct is not here')
      return this.skip()
    }
    const source = await openModel(folder)
    assert.equal(source.config.layers, 30)
    assert.equal(source.config.rope.theta, 100_000)
    assert.deepEqual(source.config.eosTokenIds, [2, 0])
    assert.equal(source.tensors.size, 272)
    assert.equal(source.tensors.get('model.embed_tokens.weight')?.format, 'q8_0')
    const bytes = await source.read('model.layers.29.self_attn.q_proj.weight')
    assert.equal(bytes.length, (576 * 576 * 20) / 32)
    await source.close()
  })
})
