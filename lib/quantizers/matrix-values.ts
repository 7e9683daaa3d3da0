/** The checks every encoder makes before it starts. */
import { PyramidionError } from '../errors.js'
import { native } from '../native.js'

/** Largest number of rows or columns; what the stored format allows. */
const MAXIMUM_SIZE = 1 << 24

/** Throws INVALID_ARGUMENT unless `value` is a whole number within [minimum, maximum]. */
export function checkInteger(name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `${name} must be a whole number from ${minimum} to ${maximum}, got ${value}`,
    )
  }
}

/** Throws unless `values` is a finite, non-empty rows x columns matrix. `name` is what the caller calls it. */
export function checkMatrix(values: Float32Array, rows: number, columns: number, name = 'values'): void {
  if (!(values instanceof Float32Array)) {
    throw new PyramidionError('INVALID_ARGUMENT', `${name} must be a Float32Array, got ${describe(values)}`)
  }
  if (values.length === 0) throw new PyramidionError('EMPTY', `${name} has no values`)
  checkInteger('rows', rows, 1, MAXIMUM_SIZE)
  checkInteger('columns', columns, 1, MAXIMUM_SIZE)
  if (values.length !== rows * columns) {
    throw new PyramidionError(
      'INVALID_SHAPE',
      `${name} must have ${rows} x ${columns} = ${rows * columns} values, got ${values.length}`,
    )
  }
  const position = native.firstNonFinite(values)
  if (position >= 0) {
    throw new PyramidionError(
      'NOT_FINITE',
      `${name} must be finite, got ${values[position]} in row ${Math.floor(position / columns)}, column ${position % columns}`,
    )
  }
}

function describe(value: unknown): string {
  return value === null || typeof value !== 'object' ? String(value) : value.constructor.name
}
