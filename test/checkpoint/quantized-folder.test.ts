import assert from 'node:assert/strict'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointWriter } from '../../dist/checkpoint/checkpoint-writer.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { pyramidCount } from '../../dist/checkpoint/pyramid-count.js'
import { codeBits, storedParts } from '../../dist/checkpoint/quantized-layout.js'
import { readWeights } from '../../dist/checkpoint/read-weights.js'
import { native } from '../../dist/native.js'
import { exampleFiles, exampleWeights, plainTensors } from './example-checkpoint.js'
import { expectError, expectSuccessOrCleanError } from './expect-error.js'
import { withHeaderText } from './safetensors-bytes.js'
import { SeededRandom } from './seeded-random.js'
import { temporaryFolder } from './temporary-folder.js'

async function exampleFolder(): Promise<string> {
  const output = join(temporaryFolder(), 'model')
  const writer = await CheckpointWriter.open({ output, fingerprint: 'x', files: exampleFiles, quantization: {} })
  for (const [name, stored] of exampleWeights()) await writer.addQuantized(name, stored)
  for (const [name, tensor] of plainTensors()) await writer.addPlain(name, tensor)
  await writer.finalize()
  return output
}

interface Header {
  __metadata__: Record<string, string>
  [name: string]: unknown
}

/** A copy of the folder with a changed header or changed data. */
function broken(folder: string, change: (header: Header, data: Uint8Array) => void): string {
  const copy = temporaryFolder()
  cpSync(folder, copy, { recursive: true })
  const path = join(copy, 'model.safetensors')
  const bytes = readFileSync(path)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Header
  const data = Uint8Array.from(bytes.subarray(8 + length))
  change(header, data)
  writeFileSync(path, withHeaderText(JSON.stringify(header), data))
  return copy
}

const query = 'model.layers.0.self_attn.q_proj.weight'
const key = 'model.layers.0.self_attn.k_proj.weight'
const output = 'model.layers.0.self_attn.o_proj.weight'
const barnesWall = 'model.layers.0.mlp.gate_proj.weight'

/** Changes fields of the metadata entry of one weight. */
function entryChange(name: string, changes: object): (header: Header) => void {
  return header => {
    header.__metadata__[name] = JSON.stringify({ ...JSON.parse(header.__metadata__[name]), ...changes })
  }
}

/** Sets a byte of one stored tensor. */
function dataChange(tensor: string, at: number, value: number): (header: Header, data: Uint8Array) => void {
  return (header, data) => {
    const { data_offsets: offsets } = header[tensor] as { data_offsets: number[] }
    data[offsets[0] + at] = value
  }
}

async function readAll(folder: string): Promise<void> {
  const source = await openModel(folder)
  try {
    for (const name of source.quantized.keys()) await readWeights(source, name)
  } finally {
    await source.close()
  }
}

describe('a quantized folder', () => {
  it('gives back every weight as it was written', async () => {
    const source = await openModel(await exampleFolder())
    for (const [name, stored] of exampleWeights()) assert.deepEqual(await readWeights(source, name), stored, name)
    const { weights } = await readWeights(source, 'model.embed_tokens.weight')
    assert.deepEqual([weights.format, weights.rows, weights.columns], ['bf16', 12, 20])
    await expectError(() => readWeights(source, 'lm_head.weight'), 'MISSING_TENSOR', /lm_head.weight/)
    await source.close()
  })

  it('has a code size that agrees with the codec', () => {
    for (const dimension of [2, 4, 8, 16, 32])
      for (const pulses of [1, 2, 3, 7, 12, 24])
        for (const levels of [1, 2, 3, 7, 16]) {
          let count: bigint
          try {
            count = native.pvqCount(dimension, pulses) * BigInt(levels)
          } catch {
            continue
          }
          const bits = codeBits({ dimension, pulses, levels })
          if (bits > 64) continue
          assert.ok(
            2n ** BigInt(bits) >= count && 2n ** BigInt(bits - 1) < count,
            `D ${dimension} K ${pulses} L ${levels}`,
          )
        }
    for (let pulses = 8; pulses <= 98; pulses += 2)
      assert.equal(
        pyramidCount({ dimension: 16, pulses, lattice: 'barnes-wall' }),
        native.pvqCount(16, pulses, 'barnes-wall'),
        `K ${pulses}`,
      )
  })

  it('lists the tensors of an entry as the architecture document does', () => {
    const segments = [{ columns: 64, dimension: 16, pulses: 24, levels: 7 }]
    const entry = { format: 'pvq' as const, rows: 10, columns: 64, segments, rotation: null, rank: 17 }
    assert.deepEqual(
      storedParts(entry).map(({ suffix, format, shape }) => [suffix, format, shape]),
      [
        ['.codes', 'u8', [10, 24]],
        ['.row_scale', 'f16', [10]],
        ['.levels', 'f32', [7]],
        ['.lowrank_a', 'i8', [17, 64]],
        ['.lowrank_a_scale', 'f16', [17, 4]],
        ['.lowrank_b', 'i8', [10, 17]],
        ['.lowrank_b_scale', 'f16', [10, 2]],
      ],
    )
  })

  it('is refused when an entry contradicts itself or its tensors', async () => {
    const folder = await exampleFolder()
    const segment = { columns: 16, dimension: 8, pulses: 6, levels: 2 }
    const last = { columns: 4, dimension: 4, pulses: 5, levels: 1 }
    const sixteen = { columns: 20, dimension: 16, pulses: 20, levels: 2, lattice: 'barnes-wall' }
    const cases: [string, object, 'INVALID_FILE' | 'UNSUPPORTED_FORMAT' | 'MISSING_TENSOR', RegExp][] = [
      [query, { format: 'vq' }, 'UNSUPPORTED_FORMAT', /format is vq; supported are pvq/],
      [query, { rows: 8 }, 'INVALID_FILE', /codes must be u8 of shape \[8,/],
      [query, { rows: 0 }, 'INVALID_FILE', /rows must be/],
      [query, { rows: 2 ** 53 }, 'INVALID_FILE', /rows must be/],
      [query, { columns: 24 }, 'INVALID_FILE', /columns sum to 24 \(they sum to 20\)/],
      [query, { segments: [] }, 'INVALID_FILE', /segments/],
      [query, { segments: [{ ...segment, columns: 20 }] }, 'INVALID_FILE', /must be/],
      [
        query,
        {
          segments: [
            { ...segment, columns: 12 },
            { ...last, columns: 8 },
          ],
        },
        'INVALID_FILE',
        /multiple of the dimension/,
      ],
      [query, { segments: [{ ...segment, dimension: 6 }, last] }, 'INVALID_FILE', /power of two/],
      [query, { segments: [{ ...segment, dimension: 64 }, last] }, 'INVALID_FILE', /dimension/],
      [query, { segments: [{ ...segment, pulses: 0 }, last] }, 'INVALID_FILE', /pulses/],
      [query, { segments: [{ ...segment, pulses: 9000 }, last] }, 'INVALID_FILE', /fits 64 bits/],
      [query, { segments: [{ ...segment, levels: 3 }, last] }, 'INVALID_FILE', /must be/],
      [
        query,
        { segments: [{ ...segment, lattice: 'leech' }, last] },
        'UNSUPPORTED_FORMAT',
        /lattice is leech; supported/,
      ],
      [query, { segments: [{ ...segment, lattice: 3 }, last] }, 'INVALID_FILE', /lattice/],
      [query, { segments: [{ ...segment, lattice: 'barnes-wall' }, last] }, 'INVALID_FILE', /dimension must be 16/],
      [barnesWall, { segments: [{ ...sixteen, pulses: 21 }] }, 'INVALID_FILE', /pulses must be even and from 8 to 98/],
      [barnesWall, { segments: [{ ...sixteen, pulses: 6 }] }, 'INVALID_FILE', /pulses must be even and from 8 to 98/],
      [barnesWall, { segments: [{ ...sixteen, pulses: 32_766 }] }, 'INVALID_FILE', /pulses must be even/],
      [barnesWall, { segments: [{ ...sixteen, levels: 2 ** 16, pulses: 98 }] }, 'INVALID_FILE', /fits 64 bits/],
      [barnesWall, { segments: [{ ...sixteen, lattice: 'integer' }] }, 'INVALID_FILE', /codes must be/],
      [query, { rotation: { kind: 'dct', seed: 1 } }, 'UNSUPPORTED_FORMAT', /kind is dct/],
      [query, { rotation: { kind: 'hadamard', seed: -1 } }, 'INVALID_FILE', /seed/],
      [query, { rank: 4 }, 'INVALID_FILE', /lowrank_a must be/],
      [query, { rank: 8 }, 'INVALID_FILE', /rank must be a whole number from 0 to 7/],
      [key, { rank: 1 }, 'MISSING_TENSOR', /lowrank_a is missing/],
      [key, { bits: 4 }, 'INVALID_FILE', /codes must be/],
      [key, { bits: 0 }, 'INVALID_FILE', /bits/],
      [key, { groupSize: 8 }, 'INVALID_FILE', /scales must be/],
      [key, { symmetric: 1 }, 'INVALID_FILE', /symmetric must be true or false/],
      [output, { blockSize: 0 }, 'INVALID_FILE', /blockSize/],
      [output, { format: 'integer', groupSize: 16, symmetric: true }, 'MISSING_TENSOR', /scales is missing/],
    ]
    for (const [name, changes, code, message] of cases)
      await expectError(() => openModel(broken(folder, entryChange(name, changes))), code, message)
    const notJson = broken(folder, header => {
      header.__metadata__[query] = '{'
    })
    await expectError(() => openModel(notJson), 'INVALID_FILE', /q_proj.weight: is not valid JSON/)
    const twice = broken(folder, header => {
      header[query] = { dtype: 'U8', shape: [0], data_offsets: [0, 0] }
    })
    await expectError(() => openModel(twice), 'INVALID_FILE', /stored twice/)
  })

  it('is refused when a stored value cannot be right', async () => {
    const folder = await exampleFolder()
    const cases: [(header: Header, data: Uint8Array) => void, RegExp][] = [
      [dataChange(`${query}.levels`, 3, 0x7f), /levels must be positive, finite and ascending/],
      [dataChange(`${query}.levels`, 3, 0xc0), /levels/],
      [dataChange(`${query}.row_scale`, 1, 0x7c), /row_scale: a scale is not finite/],
      [dataChange(`${query}.lowrank_a_scale`, 3, 0xfc), /lowrank_a_scale: a scale is not finite/],
      [dataChange(`${key}.scales`, 5, 0x7e), /scales: a scale is not finite/],
      [dataChange(`${key}.minimums`, 5, 0x7e), /minimums: a scale is not finite/],
      [dataChange(`${output}.exponents`, 0, 255), /exponents may be at most 251/],
      // The two codes of the first segment take 2 x 16 bits; 0xffff is beyond 2 N(8,6) - 1.
      [
        (header, data) => {
          dataChange(`${query}.codes`, 0, 0xff)(header, data)
          dataChange(`${query}.codes`, 1, 0xff)(header, data)
        },
        /codes: row 0 holds a code that stands for nothing/,
      ],
    ]
    for (const [change, message] of cases)
      await expectError(() => readAll(broken(folder, change)), 'INVALID_FILE', message)
    // Codes of 32 bits: 2 N - 1 is 0xcbb3857f.
    const beyond = (header: Header, data: Uint8Array) => {
      ;[0x80, 0x85, 0xb3, 0xcb].forEach((byte, i) => {
        dataChange(`${barnesWall}.codes`, i, byte)(header, data)
      })
    }
    await expectError(() => readAll(broken(folder, beyond)), 'INVALID_FILE', /holds a code that stands for nothing/)
  })

  it('survives any damage to entries and data with a clear error or weights that decode', async function () {
    this.timeout(60_000)
    const folder = await exampleFolder()
    const seed = 31
    const random = new SeededRandom(seed)
    for (let round = 0; round < 300; ++round) {
      const copy = broken(folder, (header, data) => {
        if (random.below(2) === 0) data[random.below(data.length)] ^= 1 << random.below(8)
        const name = [query, key, output, barnesWall][random.below(4)]
        const text = header.__metadata__[name]
        const at = random.below(text.length)
        if (random.below(2) === 0)
          header.__metadata__[name] = text.slice(0, at) + '0123456789-{}[]",'[random.below(17)] + text.slice(at + 1)
      })
      await expectSuccessOrCleanError(() => readAll(copy), `seed ${seed}, round ${round}`)
    }
  })
})
