/** Where a layer's product runs: its weights are uploaded to a device once, or stay with the processor. */
import type { StoredWeights } from '../checkpoint/read-weights.js'
import {
  type ChosenDevice,
  checkDevice,
  chooseDevice,
  type DeviceChoice,
  leftToProcessor,
  type WarningListener,
  warn,
} from '../device.js'
import { PyramidionError } from '../errors.js'
import { type NativeDeviceProduct, native } from '../native.js'
import type { Activations } from './activations.js'
import type { Layout } from './layout.js'
import { sharedRotation } from './rotation.js'

export interface DeviceOptions {
  /** Where the layer computes. Default `cpu`. */
  device?: DeviceChoice
  /** Told when `auto` computes on the processor, and why. Default: a warning of the process. */
  onWarning?: WarningListener
}

/** What a choice of device comes to for one layer. */
export interface Placement extends ChosenDevice {
  /** Of a layer on a GPU. */
  product?: NativeDeviceProduct
}

/** Settles the choice before any work: throws INVALID_ARGUMENT, or DEVICE_UNAVAILABLE where only a GPU will do. */
export async function choosePlace({ device = 'cpu', onWarning }: DeviceOptions): Promise<ChosenDevice> {
  checkDevice(device)
  return chooseDevice(device, onWarning)
}

/** What of the layer, beside its weights, its product needs. */
export interface PlacedLayer {
  activations: Activations
  bias?: Float32Array
  /** The form of its codes on the device: `auto` is `expanded` if there is memory for it, `split` is `compact`. */
  layout?: Layout
}

/**
 * Uploads a layer where the choice was a GPU. What keeps it from there (no kernel for its code, no memory, a device that
 * failed) is thrown, or under `auto` a warning.
 */
export async function place(
  chosen: ChosenDevice,
  { weights, rotation, lowRank }: StoredWeights,
  { activations, bias, layout = 'auto' }: PlacedLayer,
  { device, onWarning = warn }: DeviceOptions,
): Promise<Placement> {
  if (chosen.device === 'cpu') return chosen
  const turned = rotation === null ? undefined : sharedRotation(weights.columns, rotation.seed)
  const parts = { weights, rotation: turned, lowRank, bias, int8: activations === 'int8' }
  const upload = (expanded: boolean) => native.cudaProductAsync({ ...parts, expanded })
  try {
    const product = await upload(layout === 'expanded' || layout === 'auto').catch(error => {
      if (layout !== 'auto' || error.code !== 'OUT_OF_MEMORY') throw error
      return upload(false)
    })
    return { device: 'cuda', product }
  } catch (error) {
    if (device !== 'auto' || !(error instanceof PyramidionError)) throw error
    onWarning(leftToProcessor('a layer', error.message))
    return { device: 'cpu', fallback: error.message }
  }
}
