// A transformer in plain double-precision loops, straight from the definition: no cache, no blocking, nothing shared with
// the library. What the graph computes is compared with this.
import type { Tensors, TinyConfig } from './tiny-checkpoint.js'

/** Logits of every position: ids.length rows of vocab_size values. `record` sees the inputs of the linear layers. */
export function referenceLogits(
  config: TinyConfig,
  tensors: Tensors,
  ids: ArrayLike<number>,
  record: (input: string, x: number[][]) => void = () => {},
): number[][] {
  const { num_attention_heads: heads, num_key_value_heads: keyHeads, head_dim: width } = config
  const vector = (name: string) => [...(tensors.get(name)?.values ?? [])]
  const linear = (name: string, x: number[]): number[] => {
    const { shape, values } = tensors.get(`${name}.weight`)!
    const bias = vector(`${name}.bias`)
    return Array.from({ length: shape[0] }, (_, row) => {
      let sum = bias[row] ?? 0
      for (let column = 0; column < shape[1]; column++) sum += values[row * shape[1] + column] * x[column]
      return sum
    })
  }
  const norm = (name: string, x: number[]): number[] => {
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length
    const weight = vector(name)
    return x.map((value, i) => (value / Math.sqrt(meanSquare + config.rms_norm_eps)) * weight[i])
  }
  const headsOf = (x: number[], normName: string, position: number, rotated: boolean): number[][] =>
    Array.from({ length: x.length / width }, (_, head) => {
      let part = x.slice(head * width, (head + 1) * width)
      if (rotated && tensors.has(normName)) part = norm(normName, part)
      return rotated ? rotate(config, part, position) : part
    })

  const embedding = tensors.get('model.embed_tokens.weight')!.values
  let stream = Array.from(ids, id => [...embedding.subarray(id * config.hidden_size, (id + 1) * config.hidden_size)])
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `model.layers.${layer}`
    const attention = `${block}.self_attn`
    const normed = stream.map(x => norm(`${block}.input_layernorm.weight`, x))
    record('attention', normed)
    const queries = normed.map((x, t) =>
      headsOf(linear(`${attention}.q_proj`, x), `${attention}.q_norm.weight`, t, true),
    )
    const keys = normed.map((x, t) => headsOf(linear(`${attention}.k_proj`, x), `${attention}.k_norm.weight`, t, true))
    const values = normed.map((x, t) => headsOf(linear(`${attention}.v_proj`, x), '', t, false))
    const window = windowOf(config, layer)
    const attended = queries.map((query, position) =>
      query.flatMap((q, head) => {
        const group = Math.floor(head / (heads / keyHeads))
        const first = Math.max(0, position - window + 1)
        const scores: number[] = []
        for (let other = first; other <= position; other++) {
          scores.push(dot(q, keys[other][group]) / Math.sqrt(width))
        }
        const shares = softmax(scores)
        return Array.from({ length: width }, (_, i) =>
          shares.reduce((sum, share, k) => sum + share * values[first + k][group][i], 0),
        )
      }),
    )
    record('attentionOutput', attended)
    stream = stream.map((x, t) => add(x, linear(`${attention}.o_proj`, attended[t])))
    const inputs = stream.map(x => norm(`${block}.post_attention_layernorm.weight`, x))
    record('mlp', inputs)
    const inner = inputs.map(input => {
      const up = linear(`${block}.mlp.up_proj`, input)
      return linear(`${block}.mlp.gate_proj`, input).map((gate, i) => (gate / (1 + Math.exp(-gate))) * up[i])
    })
    record('mlpDown', inner)
    stream = stream.map((x, t) => add(x, linear(`${block}.mlp.down_proj`, inner[t])))
  }
  const head = config.tie_word_embeddings ? 'model.embed_tokens' : 'lm_head'
  return stream.map(x => linear(head, norm('model.norm.weight', x)))
}

const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0)
const add = (a: number[], b: number[]) => a.map((value, i) => value + b[i])

export function softmax(scores: number[]): number[] {
  const largest = Math.max(...scores)
  const powers = scores.map(score => Math.exp(score - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map(power => power / sum)
}

function windowOf(config: TinyConfig, layer: number): number {
  const { model_type: type, sliding_window: window } = config
  if (window === undefined || type === 'llama') return Number.POSITIVE_INFINITY
  if (type === 'mistral') return window
  return config.use_sliding_window && layer >= config.max_window_layers! ? window : Number.POSITIVE_INFINITY
}

/** Rotary embedding in half-split order: dimension i turns with dimension i + width / 2. */
function rotate(config: TinyConfig, x: number[], position: number): number[] {
  const half = x.length / 2
  const frequencies = referenceFrequencies(config)
  const scale = magnitude(config)
  return x.map((value, i) => {
    const angle = position * frequencies[i % half]
    const partner = i < half ? -x[i + half] : x[i - half]
    return scale * (value * Math.cos(angle) + partner * Math.sin(angle))
  })
}

/** As transformers' modeling_rope_utils.py states them, one dimension at a time. */
export function referenceFrequencies(config: TinyConfig): number[] {
  const { head_dim: width, rope_theta: theta, rope_scaling: scaling } = config
  const number = (name: string) => scaling?.[name] as number
  return Array.from({ length: width / 2 }, (_, i) => {
    const frequency = 1 / theta ** ((2 * i) / width)
    switch (scaling?.rope_type) {
      case undefined:
        return frequency
      case 'linear':
        return frequency / number('factor')
      case 'llama3': {
        const old = number('original_max_position_embeddings')
        const low = number('low_freq_factor')
        const high = number('high_freq_factor')
        const wavelength = (2 * Math.PI) / frequency
        if (wavelength < old / high) return frequency
        if (wavelength > old / low) return frequency / number('factor')
        const smooth = (old / wavelength - low) / (high - low)
        return ((1 - smooth) * frequency) / number('factor') + smooth * frequency
      }
      case 'yarn': {
        const dimension = (rotations: number) =>
          (width * Math.log(number('original_max_position_embeddings') / (rotations * 2 * Math.PI))) /
          (2 * Math.log(theta))
        const low = Math.max(Math.floor(dimension(number('beta_fast'))), 0)
        const high = Math.min(Math.ceil(dimension(number('beta_slow'))), width - 1)
        const ramp = Math.min(Math.max((i - low) / (low === high ? 0.001 : high - low), 0), 1)
        return (frequency / number('factor')) * ramp + frequency * (1 - ramp)
      }
      default:
        throw new Error(`the reference knows no ${scaling?.rope_type}`)
    }
  })
}

function magnitude({ rope_scaling: scaling }: TinyConfig): number {
  return scaling?.rope_type === 'yarn' ? 0.1 * Math.log(scaling.factor as number) + 1 : 1
}
