/** Every code a {@link PyramidionError} can carry. Codes are stable: programs may branch on them. */
export type ErrorCode =
  /** An argument has the wrong type, or is outside the range the message states. */
  | 'INVALID_ARGUMENT'
  /** A tensor's shape or length does not fit what it is used for. */
  | 'INVALID_SHAPE'
  /** Values hold NaN or an infinity. */
  | 'NOT_FINITE'
  /** A tensor, text or file has nothing in it. */
  | 'EMPTY'
  /** A rate (bits a weight, size) cannot be reached with the given settings. */
  | 'RATE_OUT_OF_RANGE'
  /** The settings need calibration text and none was given. */
  | 'CALIBRATION_REQUIRED'
  /** A file or folder does not exist or cannot be read. */
  | 'FILE_NOT_FOUND'
  /** A file is truncated, inconsistent with itself, or not of the format it claims. */
  | 'INVALID_FILE'
  /** A well-formed file uses a feature, format or version this library does not read. */
  | 'UNSUPPORTED_FORMAT'
  /** The model's architecture is not one this library runs. */
  | 'UNSUPPORTED_ARCHITECTURE'
  /** A tensor the architecture needs is missing from the checkpoint. */
  | 'MISSING_TENSOR'
  /** The output exists already and may not be overwritten. */
  | 'OUTPUT_EXISTS'
  /** Writing failed: no space, no permission, or the folder vanished. */
  | 'WRITE_FAILED'
  /** The caller's AbortSignal fired. */
  | 'ABORTED'
  /** The object was disposed and can no longer be used. */
  | 'DISPOSED'
  /** The native addon is missing or does not match this version. */
  | 'NATIVE_UNAVAILABLE'
  /** The device asked for does not exist here or cannot be used; devices() says why. */
  | 'DEVICE_UNAVAILABLE'
  /** A device or its driver failed; its layers cannot be used any more. */
  | 'DEVICE_ERROR'
  /** The device, or the process, has no memory for what was asked. */
  | 'OUT_OF_MEMORY'
  /** A bug in this library. */
  | 'INTERNAL'

/** The one error class of this library: a message for people, a {@link ErrorCode} for programs. */
export class PyramidionError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'PyramidionError'
    this.code = code
  }
}
