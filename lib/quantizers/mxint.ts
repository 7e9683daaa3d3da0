/**
 * MXINT block formats as LQER (arXiv 2402.02446) defines them: a sign and a magnitude for each weight, an 8-bit exponent
 * shared by a block.
 */
import type { MxintTensorMetadata } from '../checkpoint/quantized-metadata.js'
import { type MxintSettings, type MxintWeights, native } from '../native.js'
import { decodeAll } from './decode.js'
import { type ErrorStatistics, errorStatistics } from './error-statistics.js'
import { checkInteger, checkMatrix } from './matrix-values.js'
import type { EncodeOptions, QuantizedWeights, Quantizer } from './quantizer.js'
import { runRows } from './row-job.js'
import { storedBits } from './stored-bits.js'

export interface MxintOptions {
  /** Bits of sign and magnitude, 2 to 8. */
  bits: number
  /** Weights that share an exponent, along a row; the last block may be shorter. Default 16. */
  blockSize?: number
}

/** An MXINT quantizer. Throws INVALID_ARGUMENT for settings out of range. */
export function mxint(options: MxintOptions): MxintQuantizer {
  return new MxintQuantizer(options)
}

export class MxintQuantizer implements Quantizer {
  readonly name = 'mxint'
  readonly bitsPerWeight: number
  readonly settings: Readonly<MxintSettings>

  constructor({ bits, blockSize = 16 }: MxintOptions) {
    checkInteger('bits', bits, 2, 8)
    checkInteger('blockSize', blockSize, 1, 1 << 24)
    this.settings = { bits, blockSize }
    this.bitsPerWeight = bits + 8 / blockSize
  }

  metadata(rows: number, columns: number): MxintTensorMetadata {
    return { format: 'mxint', rows, columns, ...this.settings, rotation: null, rank: 0 }
  }

  storedBits(rows: number, columns: number): number {
    return storedBits(this.metadata(rows, columns))
  }

  encodeRows(values: Float32Array, rows: number, columns: number): MxintWeights {
    checkMatrix(values, rows, columns)
    return this.weights(rows, columns, native.mxintEncode(values, rows, columns, this.settings))
  }

  async encodeRowsAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    options: EncodeOptions = {},
  ): Promise<MxintWeights> {
    checkMatrix(values, rows, columns)
    const encoded = await runRows(rows, options, () => native.mxintEncodeAsync(values, rows, columns, this.settings))
    return this.weights(rows, columns, encoded)
  }

  decodeRows(weights: QuantizedWeights): Float32Array {
    return decodeAll(weights)
  }

  errorStatistics(values: Float32Array, rows: number, columns: number): ErrorStatistics {
    return errorStatistics(values, this.decodeRows(this.encodeRows(values, rows, columns)))
  }

  private weights(rows: number, columns: number, encoded: ReturnType<typeof native.mxintEncode>): MxintWeights {
    return { format: 'mxint', rows, columns, ...this.settings, ...encoded }
  }
}
