/**
 * What of a loaded model can be changed without changing its codes, and the gradients at it: the row scales and gain levels
 * of PVQ layers, and the weights of RMS norms.
 */
import { native } from '../native.js'
import { checkMatrix } from '../quantizers/matrix-values.js'
import type { Block } from './block.js'
import type { GradientHooks, NormName } from './block-gradient.js'
import type { EmbeddingAndHead } from './embedding-and-head.js'
import type { Projection } from './projection.js'
import { type ProjectionName, projectionNames } from './projection-names.js'

/** A vector of the model that can be refitted. */
export interface Refittable {
  /** Of the tensor in a quantized folder: `model.layers.0.mlp.up_proj.weight.row_scale`, `model.norm.weight`, ... */
  readonly name: string
  readonly kind: 'rowScale' | 'levels' | 'norm'
  /** As the model has them now, a copy: row scales are halves. */
  values(): Float32Array
  /**
   * Changes the model in place, which must not be computing anything: row scales are rounded to the nearest half, levels have
   * to ascend and not to be negative. Throws INVALID_ARGUMENT or INVALID_SHAPE and changes nothing.
   */
  assign(values: Float32Array): void
  /** Sum of the gradients seen since the last clearing by its owner's hooks. */
  readonly gradient: Float64Array
}

/** All of one block's, or of the final norm; its hooks add up gradients during a backward pass. */
export class Refittables {
  readonly hooks: GradientHooks
  readonly all: Refittable[] = []

  private constructor(
    prefix: string,
    private readonly epsilon: number,
    projections: Partial<Record<ProjectionName, Projection>>,
    norms: Partial<Record<NormName, Float32Array>>,
  ) {
    const scales = new Map(
      projectionNames.flatMap(name => {
        const projection = projections[name]
        const found = projection && scalesOf(`${prefix}${name}.weight`, projection)
        return found ? [[name, found] as const] : []
      }),
    )
    const weights = new Map(
      Object.entries(norms).map(([name, weight]) => [name, normOf(`${prefix}${name}.weight`, weight)]),
    )
    for (const { rowScale, levels } of scales.values()) this.all.push(rowScale, levels)
    this.all.push(...weights.values())
    this.hooks = {
      projection: (name, x, gradient, tokens) => {
        const found = scales.get(name)
        if (found === undefined) return
        const { rowScale, levels } = found.linear.scaleGradients(x, gradient, tokens)
        addTo(found.rowScale.gradient, rowScale)
        addTo(found.levels.gradient, levels)
      },
      norm: (name, x, gradient, rows) => {
        const found = weights.get(name)
        if (found !== undefined) native.rmsNormWeightGradient(x, this.epsilon, rows, gradient, found.gradient)
      },
    }
  }

  static ofBlock({ layer, config, parts }: Block): Refittables {
    const { query, key, value, output, gate, up, down, attentionNorm, mlpNorm, queryNorm, keyNorm } = parts
    return new Refittables(
      `model.layers.${layer}.`,
      config.rmsNormEpsilon,
      {
        'self_attn.q_proj': query,
        'self_attn.k_proj': key,
        'self_attn.v_proj': value,
        'self_attn.o_proj': output,
        'mlp.gate_proj': gate,
        'mlp.up_proj': up,
        'mlp.down_proj': down,
      },
      {
        input_layernorm: attentionNorm,
        ...(queryNorm && { 'self_attn.q_norm': queryNorm }),
        ...(keyNorm && { 'self_attn.k_norm': keyNorm }),
        post_attention_layernorm: mlpNorm,
      },
    )
  }

  /** The final norm; the head's own weights stay. */
  static ofHead({ config, norm }: EmbeddingAndHead): Refittables {
    return new Refittables('', config.rmsNormEpsilon, {}, { 'model.norm': norm })
  }

  /** Sets all gradients to zero. */
  clear(): void {
    for (const { gradient } of this.all) gradient.fill(0)
  }
}

function scalesOf(weight: string, { linear }: Projection) {
  const current = linear.scales()
  if (current === undefined) return undefined
  const rowScale: Refittable = {
    name: `${weight}.row_scale`,
    kind: 'rowScale',
    values: () => native.fromHalf(linear.scales()!.rowScale),
    assign: values => linear.setScales(native.toHalf(values), linear.scales()!.levels),
    gradient: new Float64Array(current.rowScale.length),
  }
  const levels: Refittable = {
    name: `${weight}.levels`,
    kind: 'levels',
    values: () => linear.scales()!.levels,
    assign: values => linear.setScales(linear.scales()!.rowScale, values),
    gradient: new Float64Array(current.levels.length),
  }
  return { linear, rowScale, levels }
}

function normOf(name: string, weight: Float32Array): Refittable {
  return {
    name,
    kind: 'norm',
    values: () => weight.slice(),
    assign(values) {
      checkMatrix(values, 1, weight.length, name)
      weight.set(values)
    },
    gradient: new Float64Array(weight.length),
  }
}

function addTo(sum: Float64Array, values: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i]
}
