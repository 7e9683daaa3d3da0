/**
 * The rotary section of a Hugging Face configuration, both ways: `rope_theta` and `rope_scaling`, or `rope_parameters`
 * as newer files have it. Parameters and defaults are those of transformers' modeling_rope_utils.py.
 */
import { PyramidionError } from '../errors.js'
import { Fields, type UntrustedObject } from './fields.js'
import type { ModelConfig, RopeScaling } from './model-config.js'

const factorRange = { minimum: 1, maximum: 1e6 }
const positionRange = { minimum: 1, maximum: 2 ** 27 }
const thetaRange = { minimum: 1, maximum: 1e15 }

export interface RopeConfig {
  rope: ModelConfig['rope']
  /** Positions the scaling reaches, when it reaches further than `max_position_embeddings` says. */
  maximumPositions: number
}

export function parseRope(config: Fields, headDimension: number, maximumPositions: number): RopeConfig {
  const section = ['rope_scaling', 'rope_parameters'].find(name => config.has(name))
  const scaling = section === undefined ? new Fields({}, config.where) : config.object(section)
  const theta = (scaling.has('rope_theta') ? scaling : config).number('rope_theta', thetaRange, 10_000)
  const partial = (scaling.has('partial_rotary_factor') ? scaling : config).get('partial_rotary_factor') ?? 1
  if (partial !== 1) throw unsupported(config.where, `partial_rotary_factor ${partial}; only whole heads are rotated`)

  const kind = scaling.string(scaling.has('rope_type') ? 'rope_type' : 'type', 'default')
  const parsed = parseScaling(kind, scaling, headDimension, maximumPositions)
  const reach = parsed?.kind === 'yarn' ? Math.round(parsed.factor * parsed.originalMaximumPositions) : maximumPositions
  return {
    rope: parsed ? { theta, scaling: parsed } : { theta },
    maximumPositions: Math.max(maximumPositions, reach),
  }
}

function parseScaling(
  kind: string,
  fields: Fields,
  headDimension: number,
  maximumPositions: number,
): RopeScaling | undefined {
  switch (kind) {
    case 'default':
      return undefined
    case 'dynamic':
      // Dynamic NTK changes the base only beyond max_position_embeddings, where this library does not go.
      fields.number('factor', factorRange)
      return undefined
    case 'linear':
      return { kind, factor: fields.number('factor', factorRange) }
    case 'llama3':
      return parseLlama3(fields, maximumPositions)
    case 'yarn':
      return parseYarn(fields, maximumPositions)
    case 'factors':
      return { kind, factors: parseFactors(fields, headDimension) }
    default:
      throw unsupported(
        fields.where,
        `rope_type ${kind}; supported are default, linear, dynamic, llama3, yarn and factors`,
      )
  }
}

function parseLlama3(fields: Fields, maximumPositions: number): RopeScaling {
  const lowFrequencyFactor = fields.number('low_freq_factor', { minimum: 1e-3, maximum: 1e6 })
  const highFrequencyFactor = fields.number('high_freq_factor', { minimum: 1e-3, maximum: 1e6 })
  if (highFrequencyFactor <= lowFrequencyFactor)
    fields.fail('high_freq_factor', `greater than low_freq_factor, ${lowFrequencyFactor}`)
  return {
    kind: 'llama3',
    factor: fields.number('factor', factorRange),
    lowFrequencyFactor,
    highFrequencyFactor,
    originalMaximumPositions: fields.integer('original_max_position_embeddings', positionRange, maximumPositions),
  }
}

function parseYarn(fields: Fields, maximumPositions: number): RopeScaling {
  const originalMaximumPositions = fields.integer('original_max_position_embeddings', positionRange, maximumPositions)
  const factor = fields.number('factor', factorRange, maximumPositions / originalMaximumPositions)
  const betaFast = fields.number('beta_fast', { minimum: 1e-3, maximum: 1e6 }, 32)
  const betaSlow = fields.number('beta_slow', { minimum: 1e-3, maximum: 1e6 }, 1)
  if (betaFast < betaSlow) fields.fail('beta_fast', `at least beta_slow, ${betaSlow}`)
  const magnitude = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1)
  const mscaleRange = { minimum: 0, maximum: 1e3 }
  const mscale = fields.number('mscale', mscaleRange, 0)
  const mscaleAll = fields.number('mscale_all_dim', mscaleRange, 0)
  const attentionFactor = mscale && mscaleAll ? magnitude(mscale) / magnitude(mscaleAll) : magnitude(1)
  return {
    kind: 'yarn',
    factor,
    originalMaximumPositions,
    betaFast,
    betaSlow,
    attentionFactor: fields.number('attention_factor', { minimum: 1e-3, maximum: 1e3 }, attentionFactor),
    truncate: fields.boolean('truncate', true),
  }
}

function parseFactors(fields: Fields, headDimension: number): number[] {
  const factors = fields.array('factors')
  if (factors.length !== headDimension / 2 || !factors.every(factor => Number(factor) > 0 && Number.isFinite(factor)))
    fields.fail('factors', `${headDimension / 2} positive numbers`)
  return [...factors] as number[]
}

/** The `rope_scaling` entry that {@link parseRope} reads back as `scaling`. */
export function ropeScalingEntry(scaling: RopeScaling): UntrustedObject {
  switch (scaling.kind) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor }
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalMaximumPositions,
      }
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalMaximumPositions,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        attention_factor: scaling.attentionFactor,
        truncate: scaling.truncate,
      }
    case 'factors':
      return { rope_type: 'factors', factors: scaling.factors }
  }
}

function unsupported(where: string, what: string): PyramidionError {
  return new PyramidionError('UNSUPPORTED_FORMAT', `${where}: has ${what}`)
}
