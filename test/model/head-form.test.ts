import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { openModel } from '../../dist/index.js'
import type { HeadForm } from '../../dist/model/head-form.js'
import { Llama, type LoadOptions } from '../../dist/model/llama.js'
import { loadModel } from '../../dist/model/load-model.js'
import { native } from '../../dist/native.js'
import { expectError } from '../checkpoint/expect-error.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))

async function load(options: LoadOptions): Promise<Llama> {
  const source = await openModel(tales)
  try {
    return await Llama.load(source, options)
  } finally {
    await source.close()
  }
}

describe('the form of a head', () => {
  const ids = Int32Array.from({ length: 24 }, (_, i) => 3 + ((i * 89) % 2000))

  it('in int8 takes little more than half the memory of f16 and hardly moves what the model predicts', async () => {
    const stored = await load({ head: 'stored' })
    const int8 = await load({ head: 'int8' })
    const { vocabularySize, hiddenSize } = stored.config
    assert.equal(stored.bytes - int8.bytes, (vocabularySize * hiddenSize * (16 - 9)) / 8)

    for (const all of [true, false]) {
      const logits = [stored, int8].map(model => {
        if (!all) return model.next(ids, model.newCache())
        const [{ hidden }] = model.run(ids, model.newCache())
        return model.head(hidden, ids.length)
      })
      const rows = all ? ids.length : 1
      const targets = new Int32Array(rows)
      const { klDivergence } = native.logitStatistics(logits[1], logits[0], targets, rows, vocabularySize)
      const mean = klDivergence!.reduce((sum, each) => sum + each, 0) / rows
      assert.ok(mean > 0 && mean < 1e-4, `a divergence of ${mean}`)
    }
  })

  it('is int8 by default with int8 activations, as stored otherwise', async () => {
    const bytes = async (options: LoadOptions) => (await load(options)).bytes
    assert.equal(await bytes({ activations: 'int8' }), await bytes({ activations: 'int8', head: 'int8' }))
    assert.equal(await bytes({ activations: 'float' }), await bytes({ activations: 'float', head: 'stored' }))
  })

  it('is checked before anything is loaded', () =>
    expectError(() => loadModel(tales, { head: 'int4' as HeadForm }), 'INVALID_ARGUMENT', /head must be .* got "int4"/))
})
