/** What the machine and its GPUs offer. */

/** What the machine offers and what the addon chose from it. */
export interface Capabilities {
  architecture: string
  /** Extensions the processor has and the addon knows, e.g. `avx2`, `avx512f`, `avx512vnni`; on arm64 `neon`, `dotprod`. */
  instructionSets: string[]
  /** The implementation in use for each kernel family, e.g. `{ pvqSearch: 'avx512', pvqDecode: 'avx512' }`. */
  kernels: Record<string, string>
  threads: number
}

/** What the GPU driver shows. */
export interface CudaDevices {
  devices: CudaDevice[]
  /** Why there is none. */
  reason?: string
  /** The newest CUDA release that the driver serves. */
  driver?: string
}

export interface CudaDevice {
  index: number
  name: string
  computeCapability: string
  memoryBytes: number
  multiprocessors: number
  /** Why kernels cannot run on it. */
  reason?: string
}
