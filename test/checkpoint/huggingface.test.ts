import assert from 'node:assert/strict'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fields } from '../../dist/checkpoint/fields.js'
import { huggingFaceConfig, parseHuggingFaceConfig } from '../../dist/checkpoint/huggingface-config.js'
import { openModel } from '../../dist/checkpoint/open-model.js'
import { readWeights } from '../../dist/checkpoint/read-weights.js'
import { expectError, expectSuccessOrCleanError } from './expect-error.js'
import { safetensorsBytes } from './safetensors-bytes.js'
import { SeededRandom } from './seeded-random.js'
import { temporaryFolder } from './temporary-folder.js'

const tales = join(import.meta.dirname, '../../models/tales')

const llama = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 48,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 5e5,
  bos_token_id: 1,
  eos_token_id: 2,
}

const parse = (changes: object, generation?: object) =>
  parseHuggingFaceConfig(
    { ...llama, ...changes },
    'config.json',
    generation && new Fields({ ...generation }, 'generation_config.json'),
  )

describe('config.json', () => {
  it('becomes a configuration with the defaults of the architecture', () => {
    assert.deepEqual(parse({}), {
      architecture: 'llama',
      vocabularySize: 100,
      hiddenSize: 48,
      intermediateSize: 96,
      layers: 3,
      heads: 6,
      keyValueHeads: 2,
      headDimension: 8,
      maximumPositions: 64,
      rmsNormEpsilon: 1e-5,
      rope: { theta: 5e5 },
      tieWordEmbeddings: false,
      queryKeyValueBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      queryKeyNorm: false,
      attentionWindows: [0, 0, 0],
      bosTokenId: 1,
      eosTokenIds: [2],
    })
    assert.equal(parse({ num_key_value_heads: undefined }).keyValueHeads, 6)
    assert.equal(parse({ head_dim: null }).headDimension, 8)
  })

  it('says where biases and norms are in each architecture', () => {
    const biases = (changes: object) => {
      const { queryKeyValueBias, attentionOutputBias, mlpBias, queryKeyNorm } = parse(changes)
      return [queryKeyValueBias, attentionOutputBias, mlpBias, queryKeyNorm]
    }
    assert.deepEqual(biases({ attention_bias: true, mlp_bias: true }), [true, true, true, false])
    assert.deepEqual(biases({ model_type: 'mistral', attention_bias: true }), [false, false, false, false])
    assert.deepEqual(biases({ model_type: 'qwen2' }), [true, false, false, false])
    assert.deepEqual(biases({ model_type: 'qwen3' }), [false, false, false, true])
    assert.deepEqual(biases({ model_type: 'qwen3', attention_bias: true }), [true, true, false, true])
    assert.equal(parse({ model_type: 'qwen3' }).headDimension, 128)
  })

  it('says which layers see a window only', () => {
    const windows = (changes: object) => parse(changes).attentionWindows
    assert.deepEqual(windows({ model_type: 'mistral', sliding_window: 16 }), [16, 16, 16])
    assert.deepEqual(windows({ model_type: 'mistral', sliding_window: null }), [0, 0, 0])
    assert.deepEqual(windows({ model_type: 'qwen2', sliding_window: 16 }), [0, 0, 0])
    const qwen = { model_type: 'qwen2', sliding_window: 16, use_sliding_window: true }
    assert.deepEqual(windows({ ...qwen, max_window_layers: 2 }), [0, 0, 16])
    const types = ['sliding_attention', 'full_attention', 'sliding_attention']
    assert.deepEqual(windows({ ...qwen, layer_types: types }), [16, 0, 16])
    assert.throws(() => windows({ ...qwen, layer_types: ['full_attention'] }), /layer_types/)
  })

  it('joins the end tokens of generation_config.json and config.json', () => {
    assert.deepEqual(parse({}, { eos_token_id: [7, 2] }).eosTokenIds, [7, 2])
    assert.deepEqual(parse({ eos_token_id: null }, {}).eosTokenIds, [])
    assert.throws(() => parse({ eos_token_id: 100 }), /eos_token_id must be token ids from 0 to 99, got 100/)
    assert.throws(() => parse({}, { eos_token_id: [-1] }), /generation_config.json: eos_token_id/)
  })

  it('reads every rotary scaling, in old and new spelling', () => {
    const scaling = (rope_scaling: object) => parse({ rope_scaling }).rope.scaling
    assert.equal(scaling({ rope_type: 'default' }), undefined)
    assert.deepEqual(scaling({ type: 'linear', factor: 4 }), { kind: 'linear', factor: 4 })
    assert.equal(scaling({ type: 'dynamic', factor: 4 }), undefined)
    const llama3 = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    }
    assert.deepEqual(scaling(llama3), {
      kind: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalMaximumPositions: 32,
    })
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64 }
    assert.deepEqual(scaling(yarn), {
      kind: 'yarn',
      factor: 4,
      originalMaximumPositions: 64,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
      truncate: true,
    })
    assert.equal(parse({ rope_scaling: yarn }).maximumPositions, 256)
    const modern = parse({ rope_theta: undefined, rope_parameters: { ...llama3, rope_theta: 7e5 } })
    assert.equal(modern.rope.theta, 7e5)
    assert.equal(modern.rope.scaling?.kind, 'llama3')
  })

  it('refuses rotary scalings that are unknown or absurd', () => {
    const cases: [object, RegExp][] = [
      [{ rope_type: 'longrope', factor: 4 }, /rope_type longrope; supported are default, linear/],
      [{ type: 'linear' }, /factor must be a number from 1/],
      [{ type: 'linear', factor: 0.5 }, /factor/],
      [{ type: 'linear', factor: Number.NaN }, /factor/],
      [{ rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 1 }, /greater than low_freq_factor/],
      [{ rope_type: 'yarn', factor: 4, beta_fast: 1, beta_slow: 32 }, /beta_fast/],
      [{ rope_type: 'factors', factors: [1, 2] }, /4 positive numbers/],
      [{ rope_type: 'default', partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    ]
    for (const [rope_scaling, message] of cases) assert.throws(() => parse({ rope_scaling }), message)
  })

  it('names the field that is missing or absurd, what it was and what it may be', () => {
    const cases: [object, RegExp][] = [
      [{ vocab_size: undefined }, /config.json: vocab_size must be a whole number from 1 to 16777216, got nothing/],
      [{ hidden_size: 0 }, /hidden_size must be .* got 0/],
      [{ hidden_size: '48' }, /hidden_size must be .* got "48"/],
      [{ intermediate_size: 1e30 }, /intermediate_size/],
      [{ num_hidden_layers: -3 }, /num_hidden_layers/],
      [{ num_attention_heads: 5 }, /num_key_value_heads must be a divisor/],
      [{ num_attention_heads: 10 }, /head_dim/],
      [{ num_key_value_heads: 12 }, /num_key_value_heads/],
      [{ head_dim: 7 }, /head_dim must be even/],
      [{ max_position_embeddings: 1.5 }, /max_position_embeddings/],
      [{ rms_norm_eps: 0 }, /rms_norm_eps/],
      [{ rope_theta: 0 }, /rope_theta/],
      [{ tie_word_embeddings: 'yes' }, /tie_word_embeddings must be true or false, got "yes"/],
      [{ bos_token_id: 'x' }, /bos_token_id/],
    ]
    for (const [changes, message] of cases) assert.throws(() => parse(changes), { code: 'INVALID_FILE', message })
  })

  it('names an architecture it does not run, and those it does', () => {
    const unsupported = (changes: object, message: RegExp) =>
      assert.throws(() => parse(changes), { code: 'UNSUPPORTED_ARCHITECTURE', message })
    unsupported({ model_type: 'gemma3' }, /model_type is gemma3; supported are .* llama, mistral, qwen2, qwen3/)
    unsupported({ architectures: ['LlamaForSequenceClassification'] }, /LlamaForSequenceClassification/)
    unsupported({ hidden_act: 'gelu' }, /hidden_act is gelu/)
  })

  it('is written for any configuration so that it reads back equal', () => {
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64, truncate: false }
    const window = { sliding_window: 16, use_sliding_window: true, max_window_layers: 1 }
    for (const changes of [
      {},
      { attention_bias: true, mlp_bias: true, tie_word_embeddings: true, eos_token_id: [2, 3], bos_token_id: null },
      { model_type: 'mistral', sliding_window: 16 },
      { model_type: 'qwen2', ...window },
      { model_type: 'qwen3', rope_scaling: yarn },
      { rope_scaling: { type: 'linear', factor: 2 } },
      { rope_scaling: { rope_type: 'factors', factors: [1, 1, 2, 3.5] } },
      { rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 } },
    ]) {
      const config = parse(changes)
      assert.deepEqual(parseHuggingFaceConfig(JSON.parse(JSON.stringify(huggingFaceConfig(config))), 'x'), config)
    }
  })
})

describe('a Hugging Face folder', () => {
  it('opens: the model that ships with the project', async () => {
    const source = await openModel(tales)
    assert.equal(source.kind, 'huggingface')
    assert.equal(source.config.hiddenSize, 256)
    assert.equal(source.tensors.size, 56)
    assert.equal(source.quantized.size, 0)
    const name = 'model.layers.5.mlp.down_proj.weight'
    assert.deepEqual(source.tensors.get(name), { name, format: 'bf16', shape: [256, 640], bytes: 327_680 })
    const { weights, rotation } = await readWeights(source, name)
    assert.ok('data' in weights)
    assert.equal(weights.data.length, 327_680)
    assert.equal(rotation, null)
    assert.match(source.fingerprint, /^[0-9a-f]{64}$/)
    assert.deepEqual([...(await source.files()).keys()].sort(), [
      'config.json',
      'generation_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    await source.close()
  })

  it('reads weights in any float type, and no others, as matrices only', async () => {
    const header = {
      matrix: { dtype: 'F16', shape: [2, 3], data_offsets: [0, 12] },
      vector: { dtype: 'F32', shape: [1], data_offsets: [12, 16] },
      whole: { dtype: 'I32', shape: [1, 1], data_offsets: [16, 20] },
    }
    const folder = temporaryFolder({
      'config.json': JSON.stringify(llama),
      'model.safetensors': safetensorsBytes(header, new Uint8Array(20)),
    })
    const source = await openModel(folder)
    const { weights } = await readWeights(source, 'matrix')
    assert.deepEqual([weights.format, weights.rows, weights.columns], ['f16', 2, 3])
    await expectError(() => readWeights(source, 'vector'), 'INVALID_SHAPE', /vector must be a matrix/)
    await expectError(() => readWeights(source, 'whole'), 'UNSUPPORTED_FORMAT', /stored as i32/)
    await expectError(() => readWeights(source, 'missing'), 'MISSING_TENSOR', /no tensor missing/)
    await source.close()
  })

  it('changes its fingerprint when a weight file changes', async () => {
    const folder = temporaryFolder()
    cpSync(tales, folder, { recursive: true })
    const fingerprint = async () => {
      const source = await openModel(folder)
      await source.close()
      return source.fingerprint
    }
    const before = await fingerprint()
    assert.equal(await fingerprint(), before)
    const path = join(folder, 'model.safetensors')
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] ^= 1
    await new Promise(resolve => setTimeout(resolve, 5))
    writeFileSync(path, bytes)
    assert.notEqual(await fingerprint(), before)
  })

  it('is refused with the reason when something is missing or not for this library', async () => {
    await expectError(() => openModel(''), 'INVALID_ARGUMENT', /path must be/)
    await expectError(() => openModel(5 as never), 'INVALID_ARGUMENT', /path must be .* got 5/)
    await expectError(() => openModel('/nowhere/at/all'), 'FILE_NOT_FOUND', /does not exist/)
    await expectError(() => openModel(join(tales, 'model.safetensors')), 'INVALID_ARGUMENT', /the folder that holds/)
    await expectError(() => openModel(temporaryFolder()), 'FILE_NOT_FOUND', /neither config.json nor a .gguf/)
    const two = temporaryFolder({ 'a.gguf': '', 'b.gguf': '' })
    await expectError(() => openModel(two), 'FILE_NOT_FOUND', /name one of a.gguf, b.gguf/)
    const config = (changes: object) => temporaryFolder({ 'config.json': JSON.stringify({ ...llama, ...changes }) })
    await expectError(() => openModel(config({})), 'FILE_NOT_FOUND', /neither model.safetensors/)
    const awq = config({ quantization_config: { quant_method: 'awq', bits: 4 } })
    await expectError(() => openModel(awq), 'UNSUPPORTED_FORMAT', /quantized with "awq"/)
    const future = config({ quantization_config: { quant_method: 'pvq', version: 2 } })
    await expectError(() => openModel(future), 'UNSUPPORTED_FORMAT', /version is 2/)
    await expectError(() => openModel(temporaryFolder({ 'config.json': '{' })), 'INVALID_FILE', /not valid JSON/)
    await expectError(() => openModel(temporaryFolder({ 'config.json': '[]' })), 'INVALID_FILE', /JSON object/)
  })

  it('survives any damage to config.json with a clear error or a valid configuration', async function () {
    this.timeout(60_000)
    const seed = 77
    const random = new SeededRandom(seed)
    const text = readFileSync(join(tales, 'config.json'), 'utf8')
    const junk = ['null', '-1', '1e99', '"x"', '[]', '{}', 'true', '0', '9007199254740993', '1e-400']
    for (let round = 0; round < 2000; ++round) {
      const fields: Record<string, unknown> = JSON.parse(text)
      const keys = [...Object.keys(fields), 'rope_scaling', 'sliding_window', 'layer_types', 'attention_bias']
      fields[keys[random.below(keys.length)]] = JSON.parse(junk[random.below(junk.length)])
      await expectSuccessOrCleanError(async () => parseHuggingFaceConfig(fields, 'x'), `seed ${seed}, round ${round}`)
    }
  })
})
