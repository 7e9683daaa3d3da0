/** Where layers compute: what there is, and what a wish for a device comes to. */
import { cpus } from 'node:os'
import { PyramidionError } from './errors.js'
import { native } from './native.js'

/** Where to compute. `auto`: on a GPU where one can be used, else on the processor, which is then said out loud. */
export type DeviceChoice = 'cpu' | 'cuda' | 'auto'

export interface Device {
  kind: 'cpu' | 'cuda'
  name: string
  /** Whether layers can run on it. */
  available: boolean
  /** Why they cannot. */
  reason?: string
  /** GPUs: NVIDIA's number of what the hardware can do, e.g. `9.0`. */
  computeCapability?: string
  /** GPUs: all of its memory. */
  memoryBytes?: number
  /** GPUs: its processors. */
  multiprocessors?: number
  /** GPUs: the newest CUDA release that the driver serves, e.g. `13.0`. */
  driver?: string
}

/**
 * The processor, and the GPUs that the NVIDIA driver shows. Without any there is one entry of kind `cuda` that says why: no
 * driver, a driver without a device or too old, or a library that was built without CUDA kernels.
 */
export async function devices(): Promise<Device[]> {
  const processor: Device = { kind: 'cpu', name: cpus()[0]?.model.trim() ?? process.arch, available: true }
  const { devices, reason, driver } = await native.cudaDevicesAsync()
  if (devices.length === 0) return [processor, { kind: 'cuda', name: 'CUDA', available: false, reason, driver }]
  const gpus = devices.map(({ index, ...device }) => ({
    kind: 'cuda' as const,
    ...device,
    available: device.reason === undefined,
    driver,
  }))
  return [processor, ...gpus]
}

/** What a {@link DeviceChoice} came to. */
export interface ChosenDevice {
  device: 'cpu' | 'cuda'
  /** Of `auto` on the processor: why there is no GPU. */
  fallback?: string
  /** Of a GPU: all of its memory. */
  memoryBytes?: number
}

/** Called with a sentence on what will not be as it was asked for, though the work goes on. */
export type WarningListener = (message: string) => void

/** Throws INVALID_ARGUMENT unless it is a {@link DeviceChoice}. */
export function checkDevice(device: unknown): asserts device is DeviceChoice {
  if (device !== 'cpu' && device !== 'cuda' && device !== 'auto') {
    throw new PyramidionError('INVALID_ARGUMENT', `device must be cpu, cuda or auto, got ${JSON.stringify(device)}`)
  }
}

/**
 * Settles a choice before any work. `cuda` throws DEVICE_UNAVAILABLE where no GPU can be used; `auto` then takes the
 * processor and warns: to `onWarning`, else as a warning of the process.
 */
export async function chooseDevice(choice: DeviceChoice, onWarning: WarningListener = warn): Promise<ChosenDevice> {
  if (choice === 'cpu') return { device: 'cpu' }
  const gpus = (await devices()).filter(({ kind }) => kind === 'cuda')
  const usable = gpus.find(({ available }) => available)
  if (usable !== undefined) return { device: 'cuda', memoryBytes: usable.memoryBytes }
  const reason = gpus.map(gpu => gpu.reason).join('; ')
  if (choice === 'cuda') throw new PyramidionError('DEVICE_UNAVAILABLE', `device cuda cannot be used: ${reason}`)
  onWarning(`no GPU can be used, so the processor computes: ${reason}`)
  return { device: 'cpu', fallback: reason }
}

/** What is said of work that a GPU was asked to do and cannot. */
export const leftToProcessor = (what: string, reason: string): string => `${what} is left to the processor: ${reason}`

/** Printed by Node on standard error unless the program listens for warnings. */
export function warn(message: string): void {
  process.emitWarning(message, { type: 'PyramidionWarning', code: 'DEVICE_FALLBACK' })
}
