/**
 * Plain group-wise integer rounding, the baseline every quantizer is compared with: each group of weights has a scale and,
 * unless symmetric, a minimum, both f16.
 */
import type { IntegerTensorMetadata } from '../checkpoint/quantized-metadata.js'
import { type IntegerSettings, type IntegerWeights, native } from '../native.js'
import { decodeAll } from './decode.js'
import { type ErrorStatistics, errorStatistics } from './error-statistics.js'
import { checkInteger, checkMatrix } from './matrix-values.js'
import type { EncodeOptions, QuantizedWeights, Quantizer } from './quantizer.js'
import { runRows } from './row-job.js'
import { storedBits } from './stored-bits.js'

export interface IntegerOptions {
  /** Bits a code, 1 to 8; symmetric codes need 2. */
  bits: number
  /** Weights that share a scale, along a row; the last group may be shorter. Default 128. */
  groupSize?: number
  /** Levels lie around zero and there is no minimum. Default false. */
  symmetric?: boolean
}

/** An integer quantizer. Throws INVALID_ARGUMENT for settings out of range. */
export function integer(options: IntegerOptions): IntegerQuantizer {
  return new IntegerQuantizer(options)
}

export class IntegerQuantizer implements Quantizer {
  readonly name = 'integer'
  readonly bitsPerWeight: number
  readonly settings: Readonly<IntegerSettings>

  constructor({ bits, groupSize = 128, symmetric = false }: IntegerOptions) {
    checkInteger('bits', bits, symmetric ? 2 : 1, 8)
    checkInteger('groupSize', groupSize, 1, 1 << 24)
    this.settings = { bits, groupSize, symmetric: Boolean(symmetric) }
    this.bitsPerWeight = bits + (symmetric ? 16 : 32) / groupSize
  }

  metadata(rows: number, columns: number): IntegerTensorMetadata {
    return { format: 'integer', rows, columns, ...this.settings, rotation: null, rank: 0 }
  }

  storedBits(rows: number, columns: number): number {
    return storedBits(this.metadata(rows, columns))
  }

  encodeRows(values: Float32Array, rows: number, columns: number): IntegerWeights {
    checkMatrix(values, rows, columns)
    return this.weights(rows, columns, native.integerEncode(values, rows, columns, this.settings))
  }

  async encodeRowsAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    options: EncodeOptions = {},
  ): Promise<IntegerWeights> {
    checkMatrix(values, rows, columns)
    const encoded = await runRows(rows, options, () => native.integerEncodeAsync(values, rows, columns, this.settings))
    return this.weights(rows, columns, encoded)
  }

  decodeRows(weights: QuantizedWeights): Float32Array {
    return decodeAll(weights)
  }

  errorStatistics(values: Float32Array, rows: number, columns: number): ErrorStatistics {
    return errorStatistics(values, this.decodeRows(this.encodeRows(values, rows, columns)))
  }

  private weights(rows: number, columns: number, encoded: ReturnType<typeof native.integerEncode>): IntegerWeights {
    const { bits, groupSize } = this.settings
    return { format: 'integer', rows, columns, bits, groupSize, ...encoded }
  }
}
