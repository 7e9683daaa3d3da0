/** Where weights are coded and moments summed up: on a GPU as far as it can, the rest on the processor, out loud. */
import { type ChosenDevice, type DeviceChoice, leftToProcessor, type WarningListener, warn } from '../device.js'
import { type ErrorCode, PyramidionError } from '../errors.js'
import { Hessian } from './hessian.js'

/** What keeps work from a GPU, and not from the processor. */
const deviceErrors: readonly ErrorCode[] = ['UNSUPPORTED_FORMAT', 'DEVICE_UNAVAILABLE', 'DEVICE_ERROR', 'OUT_OF_MEMORY']

export class EncodingDevice {
  /** Reasons that were given already. */
  readonly #said = new Set<string>()

  private constructor(
    private device: 'cpu' | 'cuda',
    /** Errors of the GPU after which the processor does the work. */
    private readonly tolerated: readonly ErrorCode[],
    private readonly onWarning: WarningListener,
  ) {}

  /** Asks no GPU. */
  static readonly processor = new EncodingDevice('cpu', [], warn)

  /** For one layer: under `auto` the processor does what the GPU cannot, under `cuda` that is an error. */
  static forLayer({ device }: ChosenDevice, choice: DeviceChoice, onWarning: WarningListener = warn): EncodingDevice {
    return new EncodingDevice(device, choice === 'auto' ? deviceErrors : [], onWarning)
  }

  /** For a model: codes without a kernel are left to the processor even where the GPU is `required`. */
  static forModel(device: 'cpu' | 'cuda', required: boolean, onWarning: WarningListener): EncodingDevice {
    return new EncodingDevice(device, required ? ['UNSUPPORTED_FORMAT'] : deviceErrors, onWarning)
  }

  /** Whether work goes to a GPU at all. */
  get isGpu(): boolean {
    return this.device === 'cuda'
  }

  /** Does `work` there. `what`, for warnings: which work it is. */
  async run<T>(what: string, work: (onGpu: boolean) => Promise<T>): Promise<T> {
    if (!this.isGpu) return work(false)
    try {
      return await work(true)
    } catch (error) {
      this.#giveUp(what, error)
      return work(false)
    }
  }

  /** A Hessian that is gathered there. */
  newHessian(width: number): Hessian {
    if (!this.isGpu) return new Hessian(width)
    try {
      return new Hessian(width, { onGpu: true })
    } catch (error) {
      this.#giveUp('a part of calibration', error)
      return new Hessian(width)
    }
  }

  #giveUp(what: string, error: unknown): void {
    if (!(error instanceof PyramidionError) || !this.tolerated.includes(error.code)) throw error
    // A GPU that failed stays failed; one that is full, or has no kernel, may do the next.
    if (error.code === 'DEVICE_ERROR') this.device = 'cpu'
    if (this.#said.has(error.message)) return
    this.#said.add(error.message)
    this.onWarning(leftToProcessor(what, error.message))
  }
}
