/** Sizes as people write them. */
import { PyramidionError } from '../errors.js'

const units: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
}

/** Bytes of a whole number, or of a text like `60MB` (millions), `60MiB` (2^20) or `1.5 GB`. Throws INVALID_ARGUMENT. */
export function parseSize(size: number | string): number {
  const [, digits, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(size)) ?? []
  const bytes = Math.floor(Number(digits) * (unit === '' ? 1 : units[unit?.toLowerCase()]))
  if (bytes >= 1 && Number.isSafeInteger(bytes) && (typeof size === 'string' || bytes === size)) return bytes
  throw new PyramidionError(
    'INVALID_ARGUMENT',
    `size must be a whole number of bytes or a text like 60MB or 60MiB, got ${JSON.stringify(size)}`,
  )
}
