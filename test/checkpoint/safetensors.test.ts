import assert from 'node:assert/strict'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BinaryFile } from '../../dist/checkpoint/binary-file.js'
import { readSafetensorsHeader } from '../../dist/checkpoint/safetensors-header.js'
import { SafetensorsModel } from '../../dist/checkpoint/safetensors-model.js'
import { writeSafetensors } from '../../dist/checkpoint/safetensors-writer.js'
import { expectError, expectSuccessOrCleanError } from './expect-error.js'
import { safetensorsBytes, withHeaderText } from './safetensors-bytes.js'
import { SeededRandom } from './seeded-random.js'
import { temporaryFolder } from './temporary-folder.js'

const data = Uint8Array.from({ length: 20 }, (_, i) => i + 1)
const twoTensors = {
  __metadata__: { format: 'pt' },
  a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
  b: { dtype: 'BF16', shape: [2], data_offsets: [16, 20] },
}

function modelOf(bytes: Uint8Array): Promise<SafetensorsModel> {
  return SafetensorsModel.open(temporaryFolder({ 'model.safetensors': bytes }))
}

async function refused(
  bytes: Uint8Array,
  message: RegExp,
  code: 'INVALID_FILE' | 'UNSUPPORTED_FORMAT' = 'INVALID_FILE',
) {
  await expectError(() => modelOf(bytes), code, message)
}

describe('safetensors', () => {
  it('reads names, formats, shapes and bytes', async () => {
    const model = await modelOf(safetensorsBytes(twoTensors, data))
    assert.deepEqual(
      [...model.tensors.values()],
      [
        { name: 'a', format: 'f32', shape: [2, 2], bytes: 16 },
        { name: 'b', format: 'bf16', shape: [2], bytes: 4 },
      ],
    )
    assert.deepEqual(await model.read('a'), data.slice(0, 16))
    assert.deepEqual(await model.read('b'), data.slice(16))
    await expectError(() => model.read('c'), 'MISSING_TENSOR', /no tensor c/)
    await model.close()
    await expectError(() => model.read('a'), 'DISPOSED', /closed/)
  })

  it('reads scalars and tensors without values', async () => {
    const model = await modelOf(
      safetensorsBytes(
        {
          scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
          nothing: { dtype: 'F32', shape: [3, 0], data_offsets: [4, 4] },
        },
        data.slice(0, 4),
      ),
    )
    assert.equal((await model.read('scalar')).length, 4)
    assert.equal((await model.read('nothing')).length, 0)
    await model.close()
  })

  it('refuses a file cut at any byte', async () => {
    const bytes = safetensorsBytes(twoTensors, data)
    for (let length = 0; length < bytes.length; ++length) await refused(bytes.slice(0, length), /./)
    await refused(new Uint8Array([...bytes, 0]), /left over/)
  })

  it('refuses header lengths that do not fit the file or the limit, without reading so much', async () => {
    const bytes = safetensorsBytes(twoTensors, data)
    for (const length of [0n, 1n, BigInt(bytes.length), 100_000_001n, 2n ** 53n, 2n ** 64n - 1n]) {
      const broken = bytes.slice()
      new DataView(broken.buffer).setBigUint64(0, length, true)
      await refused(broken, /header/)
    }
  })

  it('refuses tensors that overlap, leave gaps, or do not match their shape', async () => {
    const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({
      dtype,
      shape,
      data_offsets: offsets,
    })
    const cases: [unknown, RegExp][] = [
      [{ a: entry([4], [0, 16]), b: entry([2], [12, 20]) }, /overlaps/],
      [{ a: entry([4], [0, 16]), b: entry([4], [0, 16]) }, /overlaps/],
      [{ a: entry([3], [0, 12]), b: entry([1], [16, 20]) }, /gap/],
      [{ a: entry([4], [0, 16]) }, /left over/],
      [{ a: entry([6], [0, 24]) }, /truncated/],
      [{ a: entry([4], [0, 20]) }, /takes 16 bytes/],
      [{ a: entry([4], [16, 0]) }, /takes 16 bytes/],
      [{ a: entry([5], [0]) }, /takes 20 bytes/],
      [{ a: entry([5], [0, -20]) }, /data_offsets/],
      [{ a: entry([-5], [0, 20]) }, /shape/],
      [{ a: entry([2.5, 2], [0, 20]) }, /shape/],
      [{ a: entry('5', [0, 20]) }, /shape/],
      [{ a: entry([2 ** 40, 2 ** 40], [0, 20]) }, /too large/],
      [{ a: entry([2 ** 52], [0, 20]) }, /too large/],
      [{ a: entry(new Array(17).fill(1), [0, 4]) }, /shape/],
      [{ a: entry([5], [0, 20], 7) }, /dtype/],
      [{ a: 5 }, /JSON object/],
      [{ a: null }, /JSON object/],
      [{ ...twoTensors, __metadata__: { format: 5 } }, /__metadata__/],
      [{ ...twoTensors, __metadata__: [] }, /__metadata__/],
      ['[]', /JSON object/],
      ['{"a"', /not valid JSON/],
      ['nul', /not valid JSON/],
      ['{"a":"', /not valid JSON/],
      [`{"a":${'['.repeat(1e6)}${']'.repeat(1e6)}}`, /nested more than 100 deep/],
    ]
    for (const [header, message] of cases) await refused(safetensorsBytes(header, data), message)
  })

  it('names a dtype it does not read', async () => {
    const header = { a: { dtype: 'F8_E4M3', shape: [20], data_offsets: [0, 20] } }
    await refused(safetensorsBytes(header, data), /tensor a has dtype F8_E4M3; supported are/, 'UNSUPPORTED_FORMAT')
  })

  it('refuses a name that is there twice, however it is spelled', async () => {
    const entry = '{"dtype":"F32","shape":[5],"data_offsets":[0,20]}'
    await refused(withHeaderText(`{"a":${entry},"a":${entry}}`, data), /"a" twice/)
    await refused(withHeaderText(`{"a":${entry},"\\u0061"${' '.repeat(100)}:${entry}}`, data), /"a" twice/)
    await refused(
      withHeaderText(`{"a":{"shape":[5],"shape":[4],"dtype":"F32","data_offsets":[0,20]}}`, data),
      /"shape" twice/,
    )
    const awkward = `{"a\\\\\\"":${entry}}`
    const model = await modelOf(withHeaderText(awkward, data))
    assert.deepEqual([...model.tensors.keys()], ['a\\"'])
    await model.close()
  })

  it('refuses a header that is not UTF-8', async () => {
    const bytes = safetensorsBytes(twoTensors, data)
    bytes[12] = 0xff
    await refused(bytes, /UTF-8/)
  })

  it('keeps names that collide with JavaScript internals apart', async () => {
    const header = '{"__proto__":{"dtype":"U8","shape":[20],"data_offsets":[0,20]}}'
    const model = await modelOf(withHeaderText(header, data))
    assert.deepEqual(await model.read('__proto__'), data)
    await expectError(() => model.read('constructor'), 'MISSING_TENSOR', /constructor/)
    await model.close()
  })

  it('survives any damage to the header with a clear error or a valid model', async function () {
    this.timeout(60_000)
    const seed = 20_241
    const random = new SeededRandom(seed)
    const folder = temporaryFolder({ 'model.safetensors': safetensorsBytes(twoTensors, data) })
    const original = safetensorsBytes(twoTensors, data)
    const file = await open(join(folder, 'model.safetensors'), 'r+')
    let accepted = 0
    for (let round = 0; round < 1500; ++round) {
      const bytes = original.slice()
      for (let flips = 1 + random.below(3); flips > 0; --flips)
        bytes[random.below(bytes.length - data.length)] ^= 1 << random.below(8)
      await file.write(bytes, 0, bytes.length, 0)
      const action = async () => {
        const model = await SafetensorsModel.open(folder)
        for (const name of model.tensors.keys()) await model.read(name)
        await model.close()
      }
      if (await expectSuccessOrCleanError(action, `seed ${seed}, round ${round}`)) ++accepted
    }
    await file.close()
    // Changes inside names are legitimate; everything else must be noticed.
    assert.ok(accepted < 300, `${accepted} of 1500 damaged files were accepted`)
  })

  it('aborts a read when asked to', async () => {
    const model = await modelOf(safetensorsBytes(twoTensors, data))
    await expectError(() => model.read('a', AbortSignal.abort()), 'ABORTED', /aborted/)
    await model.close()
  })
})

describe('sharded safetensors', () => {
  const shard = (name: string, first: number) =>
    safetensorsBytes({ [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, data.slice(first, first + 4))
  const index = (weightMap: unknown) => JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap })
  const files = {
    'model-00001-of-00002.safetensors': shard('a', 0),
    'model-00002-of-00002.safetensors': shard('b', 4),
  }
  const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' }
  const withIndex = (weightMap: unknown) =>
    temporaryFolder({ ...files, 'model.safetensors.index.json': index(weightMap) })

  it('reads every tensor from the shard that holds it', async () => {
    const model = await SafetensorsModel.open(withIndex(map))
    assert.deepEqual(await model.read('a'), data.slice(0, 4))
    assert.deepEqual(await model.read('b'), data.slice(4, 8))
    await model.close()
  })

  it('never leaves the folder, whatever the index says', async () => {
    for (const name of [
      '../x.safetensors',
      '/x.safetensors',
      'a/b.safetensors',
      '..',
      'a\\b.safetensors',
      '.safetensors',
      5,
      null,
    ])
      await expectError(
        () => SafetensorsModel.open(withIndex({ ...map, a: name })),
        'INVALID_FILE',
        /weight_map|string/,
      )
  })

  it('refuses an index that does not agree with the shards', async () => {
    const swapped = { a: map.b, b: map.a }
    await expectError(() => SafetensorsModel.open(withIndex(swapped)), 'INVALID_FILE', /tensor a is not in/)
    await expectError(
      () => SafetensorsModel.open(withIndex({ ...map, c: map.a })),
      'INVALID_FILE',
      /tensor c is not in/,
    )
    await expectError(() => SafetensorsModel.open(withIndex({})), 'EMPTY', /no tensors/)
    await expectError(() => SafetensorsModel.open(withIndex([])), 'INVALID_FILE', /weight_map/)
    const twice = temporaryFolder({
      ...files,
      'model-00002-of-00002.safetensors': shard('a', 0),
      'model.safetensors.index.json': index(map),
    })
    await expectError(() => SafetensorsModel.open(twice), 'INVALID_FILE', /tensor a is also in/)
  })

  it('names the shard that is missing', async () => {
    const folder = withIndex(map)
    await rm(join(folder, map.b))
    await expectError(() => SafetensorsModel.open(folder), 'FILE_NOT_FOUND', /00002-of-00002.*does not exist/)
  })

  it('says what it wants when a folder has only PyTorch files, or nothing', async () => {
    await expectError(
      () => SafetensorsModel.open(temporaryFolder({ 'pytorch_model.bin': 'x' })),
      'UNSUPPORTED_FORMAT',
      /PyTorch.*safetensors/,
    )
    await expectError(() => SafetensorsModel.open(temporaryFolder()), 'FILE_NOT_FOUND', /neither model.safetensors/)
  })
})

describe('writing safetensors', () => {
  it('aligns every tensor to its values and reads back equal', async () => {
    const seed = 7
    const random = new SeededRandom(seed)
    const path = join(temporaryFolder(), 'x.safetensors')
    const formats = ['u8', 'f32', 'bf16', 'i8', 'f16', 'f64'] as const
    const sizes = { u8: 1, f32: 4, bf16: 2, i8: 1, f16: 2, f64: 8 }
    const tensors = Array.from({ length: 30 }, (_, i) => {
      const format = formats[random.below(formats.length)]
      const shape = [1 + random.below(5), 1 + random.below(7)]
      const bytes = shape[0] * shape[1] * sizes[format]
      const values = random.bytes(bytes)
      return { name: `t${i}`, format, shape, bytes, values, data: () => values }
    })
    const size = await writeSafetensors(path, tensors, new Map([['key', 'value']]))
    const file = await BinaryFile.open(path)
    const header = await readSafetensorsHeader(file)
    assert.equal(size, file.size)
    assert.equal(header.metadata.get('key'), 'value')
    assert.equal(header.tensors.length, tensors.length, `seed ${seed}`)
    for (const tensor of header.tensors) {
      const original = tensors.find(({ name }) => name === tensor.name)!
      assert.deepEqual(tensor.shape, original.shape)
      assert.equal(tensor.position % sizes[original.format], 0, `seed ${seed}, ${tensor.name}`)
      assert.deepEqual(await file.read(tensor.position, tensor.bytes), original.values, `seed ${seed}, ${tensor.name}`)
    }
    await file.close()
  })
})
