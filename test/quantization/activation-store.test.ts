import assert from 'node:assert/strict'
import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ActivationSpace } from '../../dist/quantization/activation-store.js'
import { expectError } from '../checkpoint/expect-error.js'
import { SeededRandom } from '../checkpoint/seeded-random.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

const seed = 41

function randomEntries(lengths: number[]): Float32Array[] {
  const random = new SeededRandom(seed)
  return lengths.map(length => Float32Array.from({ length }, () => random.next() - 0.5))
}

describe(`ActivationStore, seed ${seed}`, () => {
  const lengths = [30, 7, 0, 64, 1, 50]

  for (const [what, memoryBytes, spilled] of [
    ['in memory', 4 * 152, false],
    ['partly in a file', 4 * 40, true],
    ['wholly in a file', 0, true],
  ] as const) {
    it(`returns what was written last, ${what}`, async () => {
      const folder = join(temporaryFolder(), 'activations')
      const space = new ActivationSpace(folder, memoryBytes)
      const store = space.store('x', lengths)
      const first = randomEntries(lengths)
      for (const entry of [3, 0, 5, 1, 2, 4]) await store.write(entry, first[entry])
      assert.equal(existsSync(folder), spilled)
      const second = first.map(values => values.map(value => 2 * value))
      // Shorter than it may be.
      second[5] = second[5].subarray(0, 20)
      await store.write(1, second[1])
      await store.write(5, second[5])
      for (const entry of [5, 4, 3, 2, 1, 0]) {
        const expected = entry === 1 || entry === 5 ? second[entry] : first[entry]
        assert.deepEqual(await store.read(entry), expected, `entry ${entry}`)
      }
      await space.close()
      assert.ok(!existsSync(folder))
      await expectError(() => store.read(0), 'DISPOSED', /closed/)
    })
  }

  it('keeps copies: neither what was written nor what was read is shared with the caller', async () => {
    const space = new ActivationSpace(join(temporaryFolder(), 'activations'), 1000)
    const store = space.store('x', [3])
    const values = Float32Array.of(1, 2, 3)
    await store.write(0, values)
    values.fill(7)
    const read = await store.read(0)
    assert.deepEqual(read, Float32Array.of(1, 2, 3))
    read.fill(8)
    // Into part of a larger buffer of the caller's.
    const buffer = new Float32Array(5)
    await store.read(0, buffer.subarray(1, 4))
    assert.deepEqual(buffer, Float32Array.of(0, 1, 2, 3, 0))
    await space.close()
  })

  for (const memoryBytes of [0, 1000]) {
    it(`lends an entry to be changed, ${memoryBytes > 0 ? 'in its place' : 'by way of a buffer'}`, async () => {
      const space = new ActivationSpace(join(temporaryFolder(), 'activations'), memoryBytes)
      const store = space.store('x', [4])
      await store.write(0, Float32Array.of(1, 2, 3))
      const buffer = new Float32Array(3)
      const lent = await store.borrow(0, buffer)
      assert.equal(lent === buffer, memoryBytes === 0)
      assert.deepEqual(lent, Float32Array.of(1, 2, 3))
      lent[1] = 5
      await store.write(0, lent)
      assert.deepEqual(await store.read(0), Float32Array.of(1, 5, 3))
      await expectError(() => store.borrow(0, new Float32Array(4)), 'INVALID_SHAPE', /has 3 values, not 4/)
      await space.close()
      await expectError(() => store.borrow(0, buffer), 'DISPOSED', /closed/)
    })
  }

  it('shares its memory among the stores of a space, and gets it back', async () => {
    const folder = join(temporaryFolder(), 'activations')
    const space = new ActivationSpace(folder, 4 * 10)
    const values = Float32Array.from({ length: 8 }, (_, i) => i)
    const fill = async (name: string) => {
      const store = space.store(name, [8])
      await store.write(0, values)
      assert.deepEqual(await store.read(0), values)
      return store
    }
    const first = await fill('first')
    const second = await fill('second')
    assert.deepEqual(readdirSync(folder), ['second'])
    await first.close()
    await first.close()
    await second.close()
    await fill('third')
    assert.deepEqual(readdirSync(folder), [])
    await space.close()
    assert.ok(!existsSync(folder))
  })

  it('says what is wrong', async () => {
    const parent = temporaryFolder()
    const folder = join(parent, 'activations')
    const space = new ActivationSpace(folder, 0)
    const store = space.store('x', [3, 4])
    await store.write(1, new Float32Array(4))
    await expectError(() => store.read(0), 'EMPTY', /entry 0 was never written/)
    await expectError(() => store.write(0, new Float32Array(4)), 'INVALID_SHAPE', /entry 0 of 2 takes 3 values, got 4/)
    await expectError(() => store.write(2, new Float32Array(4)), 'INVALID_SHAPE', /entry 2 of 2 takes no values/)
    await expectError(() => store.read(1, new Float32Array(3)), 'INVALID_SHAPE', /entry 1 has 4 values, not 3/)
    truncateSync(join(folder, 'x'), 20)
    await expectError(() => store.read(1), 'INVALID_FILE', /became shorter/)
    await space.close()
    writeFileSync(folder, 'a file in the way')
    const blocked = new ActivationSpace(folder, 0).store('x', [1])
    await expectError(() => blocked.write(0, new Float32Array(1)), 'WRITE_FAILED', /activations/)
  })

  it('overwrites what a killed run left', async () => {
    const folder = temporaryFolder({ 'activations/x': new Uint8Array(1000).fill(255) })
    const space = new ActivationSpace(join(folder, 'activations'), 0)
    const store = space.store('x', [2, 2])
    await store.write(0, Float32Array.of(1, 2))
    assert.deepEqual(await store.read(0), Float32Array.of(1, 2))
    await expectError(() => store.read(1), 'EMPTY', /never written/)
    await space.close()
  })
})
