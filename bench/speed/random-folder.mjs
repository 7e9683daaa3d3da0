// The same model of random weights as a quantized folder of ours, every linear layer at one rate.
import { CheckpointWriter } from '../../dist/checkpoint/checkpoint-writer.js'
import { native } from '../../dist/native.js'
import { gaussians, randomStored } from './random-weights.mjs'

export async function writeRandomFolder(output, shape, bits) {
  const { hidden, intermediate, heads, keyValueHeads, layers, vocabulary, context } = shape
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    max_position_embeddings: context,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
    hidden_act: 'silu',
    bos_token_id: 1,
    eos_token_id: 2,
  }
  const files = new Map([['config.json', JSON.stringify(config)]])
  const writer = await CheckpointWriter.open({ output, fingerprint: String(bits), files, quantization: {} })
  const norm = { format: 'f32', shape: [hidden], data: new Uint8Array(new Float32Array(hidden).fill(1).buffer) }
  const halves = native.toHalf(gaussians(vocabulary * hidden, 4, 0.02))
  const table = { format: 'f16', shape: [vocabulary, hidden], data: new Uint8Array(halves.buffer) }
  await writer.addPlain('model.embed_tokens.weight', table)
  await writer.addPlain('lm_head.weight', table)
  await writer.addPlain('model.norm.weight', norm)

  const keyValueWidth = (hidden / heads) * keyValueHeads
  const matrices = new Map()
  const matrix = async (rows, columns) => {
    const key = `${rows} x ${columns}`
    if (!matrices.has(key)) matrices.set(key, await randomStored(rows, columns, { bits }))
    return matrices.get(key)
  }
  for (let layer = 0; layer < layers; layer++) {
    const name = part => `model.layers.${layer}.${part}.weight`
    const add = async (part, rows, columns) => writer.addQuantized(name(part), await matrix(rows, columns))
    await writer.addPlain(name('input_layernorm'), norm)
    await writer.addPlain(name('post_attention_layernorm'), norm)
    await add('self_attn.q_proj', hidden, hidden)
    await add('self_attn.k_proj', keyValueWidth, hidden)
    await add('self_attn.v_proj', keyValueWidth, hidden)
    await add('self_attn.o_proj', hidden, hidden)
    await add('mlp.gate_proj', intermediate, hidden)
    await add('mlp.up_proj', intermediate, hidden)
    await add('mlp.down_proj', hidden, intermediate)
  }
  await writer.finalize()
}
