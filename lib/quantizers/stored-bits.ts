/** What a quantized matrix costs, everything counted: the parts it is stored as (docs/architecture.md). */
import { storedParts } from '../checkpoint/quantized-layout.js'
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'

const formatBits: Record<string, number> = { u8: 8, i8: 8, f16: 16, f32: 32 }

/** Bits of codes, padding, scales, levels and low-rank factors. */
export function storedBits(metadata: QuantizedTensorMetadata): number {
  return storedParts(metadata).reduce(
    (bits, { format, shape }) => bits + formatBits[format] * shape.reduce((product, size) => product * size, 1),
    0,
  )
}
