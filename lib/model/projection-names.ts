/** The linear layers of a block, by their role in it: their names below `model.layers.N.`, in the order of the checkpoint. */
export const projections = {
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  output: 'self_attn.o_proj',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
} as const

export type ProjectionRole = keyof typeof projections
export type ProjectionName = (typeof projections)[ProjectionRole]

export const projectionRoles = Object.keys(projections) as ProjectionRole[]
export const projectionNames: readonly ProjectionName[] = Object.values(projections)
