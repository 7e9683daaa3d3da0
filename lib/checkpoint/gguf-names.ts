/** Tensor names of GGUF files and the Hugging Face names they stand for, for the architectures this library runs. */

const outerNames: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
}

const blockNames: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** The Hugging Face name, or undefined for a tensor no model here has. */
export function huggingFaceName(name: string): string | undefined {
  if (Object.hasOwn(outerNames, name)) return outerNames[name]
  const match = /^blk\.(0|[1-9]\d{0,4})\.([a-z_]+)\.(weight|bias)$/.exec(name)
  if (!match || !Object.hasOwn(blockNames, match[2])) return undefined
  return `model.layers.${match[1]}.${blockNames[match[2]]}.${match[3]}`
}
