import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { PyramidionError } from '../../dist/errors.js'
import type { GenerationOptions } from '../../dist/model/generation-options.js'
import { loadModel, type Model } from '../../dist/model/load-model.js'
import { longestPause } from './longest-pause.js'
import { randomTensors, tinyConfig, withCheckpoint } from './tiny-checkpoint.js'

const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
const prompt = 'Once upon a time there was a king who had'

async function collect(pieces: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const piece of pieces) text += piece
  return text
}

/** The summary that a stream returns. */
async function summaryOf<T>(pieces: AsyncGenerator<string, T>): Promise<T> {
  for (;;) {
    const step = await pieces.next()
    if (step.done) return step.value
  }
}

describe('a loaded model', () => {
  let model: Model
  before(async () => {
    model = await loadModel(tales)
  })
  after(() => model.dispose())

  it('knows its configuration, its path and its size in memory', () => {
    assert.equal(model.path, tales)
    assert.equal(model.kind, 'huggingface')
    assert.equal(model.config.layers, 6)
    assert.equal(model.tokenizer.vocabularySize, 2048)
    assert.ok(model.weightBytes > 9e6 && model.weightBytes < 1e7, `${model.weightBytes} bytes`)
  })

  it('encodes and decodes, with the beginning-of-text token on request', async () => {
    const ids = await model.tokenizer.encode(prompt)
    assert.equal(await model.tokenizer.decode(ids), prompt)
    assert.deepEqual(await model.tokenizer.encode(prompt, { special: true }), Int32Array.of(0, ...ids))
  })

  it('generates greedily what its logits say, token by token', async () => {
    let ids = await model.tokenizer.encode(prompt, { special: true })
    const start = ids.length
    for (let i = 0; i < 12; i++) {
      const logits = await model.logits(ids, { last: true })
      ids = Int32Array.of(...ids, logits.indexOf(Math.max(...logits)))
    }
    const expected = await model.tokenizer.decode(ids.subarray(start))
    assert.equal(await collect(model.generate(prompt, { maxTokens: 12 })), expected)
  })

  it('takes token ids as a prompt, as they are', async () => {
    const ids = await model.tokenizer.encode(prompt, { special: true })
    const options = { maxTokens: 8 }
    assert.equal(await collect(model.generate(ids, options)), await collect(model.generate(prompt, options)))
  })

  it('gives the logits of every position, the last being those of the last alone', async () => {
    const ids = [0, 17, 300, 5]
    const all = await model.logits(ids)
    const last = await model.logits(ids, { last: true })
    assert.equal(all.length, 4 * 2048)
    for (let i = 0; i < 2048; i++) assert.ok(Math.abs(all[3 * 2048 + i] - last[i]) < 1e-3, `token ${i}`)
  })

  it('generates the same text for the same seed, and others for others', async () => {
    const write = (seed: number) => collect(model.generate(prompt, { maxTokens: 20, temperature: 1, topP: 0.95, seed }))
    const first = await write(1)
    assert.equal(await write(1), first)
    assert.notEqual(await write(2), first)
  })

  it('says why it stopped and how many tokens it took', async () => {
    const summary = await summaryOf(model.generate(prompt, { maxTokens: 5 }))
    const promptTokens = (await model.tokenizer.encode(prompt, { special: true })).length
    assert.deepEqual(summary, { finishReason: 'length', promptTokens, generatedTokens: 5 })
  })

  it('stops before a stop string and leaves it out', async () => {
    const text = await collect(model.generate(prompt, { maxTokens: 30 }))
    const stop = text.slice(11, 15)
    const pieces = model.generate(prompt, { maxTokens: 30, stop: ['never to be seen', stop] })
    assert.equal(await collect(pieces), text.slice(0, text.indexOf(stop)))
    const summary = await summaryOf(model.generate(prompt, { maxTokens: 30, stop }))
    assert.equal(summary.finishReason, 'stop')
  })

  it('ends where its context is full', async () => {
    const ids = new Int32Array(model.config.maximumPositions - 3).fill(300)
    const summary = await summaryOf(model.generate(ids))
    // The last of the four tokens needs no room: nothing follows it.
    assert.deepEqual(summary, { finishReason: 'length', promptTokens: ids.length, generatedTokens: 4 })
  })

  it('stops when the reader leaves the loop, and answers the next call', async () => {
    for await (const piece of model.generate(prompt)) {
      assert.ok(piece.length > 0)
      break
    }
    assert.equal((await model.logits([1], { last: true })).length, 2048)
  })

  it('stops with ABORTED when the signal fires, in the middle of a text', async () => {
    const controller = new AbortController()
    let pieces = 0
    await assert.rejects(
      async () => {
        for await (const _ of model.generate(prompt, { signal: controller.signal })) {
          if (++pieces === 3) controller.abort()
        }
      },
      { code: 'ABORTED' },
    )
    assert.ok(pieces >= 3)
  })

  it('serves calls one after another, each as if it were alone', async () => {
    const options = { maxTokens: 10 }
    const prompts = [prompt, 'The wolf said to the', 'In the garden of the castle']
    const alone: string[] = []
    for (const text of prompts) alone.push(await collect(model.generate(text, options)))
    assert.deepEqual(await Promise.all(prompts.map(text => collect(model.generate(text, options)))), alone)
  })

  it('serves the next call although a reader forgot its stream', async () => {
    await model.generate(prompt, { maxTokens: 5 }).next()
    assert.equal((await model.logits([1], { last: true })).length, 2048)
  })

  it('lets a queued call go at once when its signal fires', async () => {
    const running = model.generate(prompt, { maxTokens: 40 })
    await running.next()
    const controller = new AbortController()
    const queued = model.generate(prompt, { signal: controller.signal }).next()
    controller.abort()
    await assert.rejects(queued, { code: 'ABORTED' })
    assert.equal((await running.next()).done, false)
    await running.return(undefined as never)
  })

  it('answers its tokenizer while it generates', async () => {
    const running = model.generate(prompt, { maxTokens: 400 })
    await running.next()
    assert.equal(await model.tokenizer.decode(await model.tokenizer.encode('a fox')), 'a fox')
    assert.equal((await running.next()).done, false)
    await running.return(undefined as never)
  })

  it('leaves the event loop free while it works', async () => {
    const ids = new Int32Array(512).fill(9)
    const { pause, elapsed } = await longestPause(async () => {
      for (let i = 0; i < 3; i++) await model.logits(ids, { last: true })
      await collect(model.generate(prompt, { maxTokens: 60 }))
    })
    assert.ok(pause < Math.max(elapsed / 3, 50), `${pause} ms of ${elapsed} ms without a tick`)
  })

  it('refuses options out of range and prompts that are none, before anything starts', () => {
    const bad: Record<string, unknown>[] = [
      { maxTokens: 0 },
      { maxTokens: 1.5 },
      { temperature: -1 },
      { temperature: Number.NaN },
      { topK: 0 },
      { topP: 0 },
      { topP: 1.1 },
      { minP: -0.1 },
      { repetitionPenalty: 0 },
      { seed: -1 },
      { seed: 2 ** 32 },
      { temperature: '1' },
      { stop: [''] },
      { stop: 7 },
    ]
    for (const options of bad) {
      const [name] = Object.keys(options)
      assert.throws(
        () => model.generate(prompt, options as GenerationOptions),
        (error: PyramidionError) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(name),
        JSON.stringify(options),
      )
    }
    assert.throws(() => model.generate([]), { code: 'EMPTY' })
    assert.throws(() => model.generate([0.5]), { code: 'INVALID_ARGUMENT' })
    assert.throws(() => model.generate(undefined as never), { code: 'INVALID_ARGUMENT' })
    assert.throws(() => model.generate(prompt, null as never), { code: 'INVALID_ARGUMENT' })
  })

  it('refuses ids outside its vocabulary and prompts beyond its context', async () => {
    await assert.rejects(model.logits([2048]), { code: 'INVALID_ARGUMENT', message: /from 0 to 2047, got 2048/ })
    await assert.rejects(model.logits(new Array(513).fill(1)), {
      code: 'INVALID_ARGUMENT',
      message: /512 tokens, got 513/,
    })
    await assert.rejects(model.generate('word '.repeat(600)).next(), { code: 'INVALID_ARGUMENT' })
    await assert.rejects(model.logits([]), { code: 'EMPTY' })
  })

  it('has no chat without a chat template', () => {
    assert.throws(() => model.chat([{ role: 'user', content: 'hello' }]), { code: 'UNSUPPORTED_FORMAT' })
  })
})

describe('chat', () => {
  it('answers the conversation as its template writes it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pyramidion-chat-'))
    try {
      await cp(tales, folder, { recursive: true })
      const file = join(folder, 'tokenizer_config.json')
      const settings = JSON.parse(await readFile(file, 'utf8'))
      settings.chat_template =
        '{{ bos_token }}{% for message in messages %}{{ message.role }} says: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}king says:{% endif %}'
      await writeFile(file, JSON.stringify(settings))
      await using model = await loadModel(folder)
      const messages = [{ role: 'queen', content: 'Where is the golden apple?' }]
      const text = await model.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })
      assert.equal(text, '<|endoftext|>queen says: Where is the golden apple?\nking says:')
      const ids = await model.tokenizer.encode(text)
      assert.equal(ids[0], 0)
      const options = { maxTokens: 10 }
      assert.equal(await collect(model.chat(messages, options)), await collect(model.generate(ids, options)))
      assert.throws(() => model.chat([]), { code: 'EMPTY' })
      assert.throws(() => model.chat([{ role: 'user' } as never]), {
        code: 'INVALID_ARGUMENT',
        message: /messages\[0\]/,
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe('loadModel', () => {
  it('holds several models at once', async () => {
    const models = await Promise.all([loadModel(tales), loadModel(tales)])
    const texts = await Promise.all(models.map(model => collect(model.generate(prompt, { maxTokens: 8 }))))
    assert.equal(texts[0], texts[1])
    await Promise.all(models.map(model => model.dispose()))
  })

  it('gives the same logits with one thread as with two', async () => {
    const ids = [0, 5, 900, 44, 23, 7, 8]
    const results: Float32Array[] = []
    for (const threads of [1, 2]) {
      await using model = await loadModel(tales, { threads })
      results.push(await model.logits(ids))
    }
    for (let i = 0; i < results[0].length; i++) assert.ok(Math.abs(results[0][i] - results[1][i]) < 1e-4, `at ${i}`)
  })

  it('reports progress up to the end', async () => {
    const reports: number[] = []
    await using _ = await loadModel(tales, { onProgress: ({ done, total }) => reports.push(done / total) })
    assert.equal(reports.at(-1), 1)
    assert.ok(reports.every((share, i) => i === 0 || share > reports[i - 1]))
  })

  it('refuses what is no model, before a thread is started', async () => {
    await assert.rejects(loadModel(''), { code: 'INVALID_ARGUMENT' })
    await assert.rejects(loadModel(7 as never), { code: 'INVALID_ARGUMENT' })
    for (const threads of [0, 1.5, 1025]) {
      await assert.rejects(loadModel(tales, { threads }), { code: 'INVALID_ARGUMENT', message: /^threads/ })
    }
  })

  it('passes on what is wrong with the files', async () => {
    await assert.rejects(loadModel(join(tales, 'nowhere')), { code: 'FILE_NOT_FOUND' })
    const config = { ...tinyConfig, vocab_size: 2048 }
    const tensors = randomTensors(config, 1)
    tensors.delete('model.norm.weight')
    await withCheckpoint(config, tensors, async folder => {
      for (const file of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(tales, file), join(folder, file))
      await assert.rejects(loadModel(folder), { code: 'MISSING_TENSOR', message: /model\.norm\.weight/ })
    })
  })

  it('stops loading when the signal fires', async () => {
    await assert.rejects(loadModel(tales, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    const controller = new AbortController()
    const loading = loadModel(tales, { signal: controller.signal, onProgress: () => controller.abort() })
    await assert.rejects(loading, { code: 'ABORTED' })
  })
})

describe('a disposed model', () => {
  it('fails pending and later calls with DISPOSED', async () => {
    const model = await loadModel(tales)
    const running = model.generate(prompt)
    await running.next()
    const pending = [model.logits([1, 2, 3]), collect(running), model.tokenizer.encode('x'.repeat(1000))]
    const settled = Promise.allSettled(pending)
    await delay(0)
    await model.dispose()
    const [queued, interrupted] = await settled
    for (const result of [queued, interrupted]) {
      assert.ok(result.status === 'rejected' && result.reason.code === 'DISPOSED', JSON.stringify(result))
    }
    await assert.rejects(model.logits([1]), { code: 'DISPOSED' })
    await assert.rejects(model.tokenizer.encode('text'), { code: 'DISPOSED' })
    await assert.rejects(model.generate(prompt).next(), { code: 'DISPOSED' })
    await model.dispose()
  })
})
