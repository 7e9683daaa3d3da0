/**
 * The last phase of quantizeModel, once every tensor is finished in the writer: recovery, kept in a file of the partial folder so
 * that a run that resumes does not repeat it. A recovery that was interrupted starts again from the rounded values, which stay as
 * they are until the end.
 */
import { mkdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BinaryFile } from '../checkpoint/binary-file.js'
import type { CheckpointWriter } from '../checkpoint/checkpoint-writer.js'
import { syncFolderOf, writing } from '../checkpoint/durable-write.js'
import type { ModelSource, TensorFormat } from '../checkpoint/model-source.js'
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.js'
import { writeSafetensors } from '../checkpoint/safetensors-writer.js'
import { native } from '../native.js'
import { type Recovery, type RecoveryOptions, recover, type SplitWindows } from './recovery.js'

/** What recovery did to the model. */
export interface RecoveryReport {
  steps: number
  /** KL divergence from the original, in nats a token, over calibration windows that recovery was not fitted to. */
  divergenceBefore: number
  divergenceAfter: number
  /** Whether it was lower after, so that the refitted values are those of the model. */
  kept: boolean
}

/** Recovers the model that `writer` holds, against `source`, and makes its result part of the folder where it helps. */
export async function recoverFinished(
  source: ModelSource,
  writer: CheckpointWriter,
  windows: SplitWindows,
  options: RecoveryOptions,
): Promise<RecoveryReport> {
  const path = join(writer.folder('recovery'), 'recovery.safetensors')
  const quantized = { ...writer.finished, config: source.config }
  const recovery =
    (await readRecovery(path)) ?? (await writeRecovery(path, await recover(source, quantized, windows, options)))
  const { divergenceBefore, divergenceAfter, values } = recovery
  const kept = divergenceAfter < divergenceBefore
  if (kept) {
    for (const [name, vector] of values) writer.replace(name, encoded(vector, quantized.tensors.get(name)!.format))
  }
  return { steps: options.steps, divergenceBefore, divergenceAfter, kept }
}

async function readRecovery(path: string): Promise<Recovery | undefined> {
  const file = await BinaryFile.open(path).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const { tensors, metadata } = await readSafetensorsHeader(file)
    const values = new Map<string, Float32Array>()
    for (const { name, position, bytes } of tensors) {
      values.set(name, new Float32Array((await file.read(position, bytes)).buffer))
    }
    return { ...JSON.parse(metadata.get('divergences')!), values }
  } finally {
    await file.close()
  }
}

async function writeRecovery(path: string, recovery: Recovery): Promise<Recovery> {
  const { values, ...divergences } = recovery
  const tensors = [...values].map(([name, vector]) => ({
    name,
    format: 'f32' as const,
    shape: [vector.length],
    bytes: vector.byteLength,
    data: () => bytesOf(vector),
  }))
  await writing(path, async () => {
    await mkdir(dirname(path), { recursive: true })
    await writeSafetensors(`${path}.new`, tensors, new Map([['divergences', JSON.stringify(divergences)]]))
    await rename(`${path}.new`, path)
    await syncFolderOf(path)
  })
  return recovery
}

/** Values in the format of their tensor, rounded to the nearest. */
function encoded(values: Float32Array, format: TensorFormat): Uint8Array {
  if (format === 'f32') return bytesOf(values)
  return bytesOf(format === 'f16' ? native.toHalf(values) : toBrainFloat(values))
}

/** The upper half of a float, rounded to the nearest, ties to even; values are finite. */
function toBrainFloat(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return Uint16Array.from(bits, word => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16)
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
