/**
 * What a sensitivity pass leaves in its folder: a safetensors file a block, written when the block is done, and while the pass
 * runs the gradients that it goes on from. Symmetric matrices are stored as F32, rows of the lower triangle one behind the
 * other. Files of another run (model, windows, settings) do not count.
 */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BinaryFile } from '../checkpoint/binary-file.js'
import { syncFolderOf, writing } from '../checkpoint/durable-write.js'
import { readSafetensorsHeader, type SafetensorsHeader } from '../checkpoint/safetensors-header.js'
import { type TensorToWrite, writeSafetensors } from '../checkpoint/safetensors-writer.js'
import { PyramidionError } from '../errors.js'
import type { Hessian } from '../linear/hessian.js'
import { type ProjectionName, projectionNames } from '../model/projection-names.js'
import { native } from '../native.js'
import type { ActivationStore } from './activation-store.js'

/** How the loss depends on one weight matrix W (out x in). g is the gradient of the loss at W's output for one token. */
export interface ProjectionSensitivity {
  /**
   * F = E[|g|^2 x x^T], in x in: a small change dW adds tr(dW F dW^T) / (2 out) to the loss, in nats a token, where g has no
   * preferred direction. Not normalised: comparable between layers.
   */
  inputHessian: Float64Array
  /** G = E[g g^T], out x out; absent where it was not asked for. */
  outputHessian?: Float64Array
  /** E[|g|^2] = tr(G). */
  squaredGradient: number
}

/** The same while it is being gathered. */
export interface ProjectionMoments {
  input: Hessian
  output?: Hessian
  squaredGradient: number
}

const gradientsName = /^gradients-(\d+)\.safetensors$/

export class SensitivityFiles {
  constructor(
    private readonly folder: string,
    private readonly fingerprint: string,
  ) {}

  /** Whether every block below `layers` has been written by this run. */
  async complete(layers: number): Promise<boolean> {
    for (let layer = 0; layer < layers; layer++) {
      if (!(await this.#isOurs(this.#blockPath(layer)))) return false
    }
    return true
  }

  async writeBlock(layer: number, moments: ReadonlyMap<ProjectionName, ProjectionMoments>): Promise<void> {
    const tensors: TensorToWrite[] = []
    const squares: Record<string, number> = {}
    for (const [name, { input, output, squaredGradient }] of moments) {
      tensors.push(triangle(`${name}.input_hessian`, input))
      if (output !== undefined) tensors.push(triangle(`${name}.output_hessian`, output))
      squares[name] = squaredGradient
    }
    await this.#write(this.#blockPath(layer), tensors, [['squared_gradients', JSON.stringify(squares)]])
  }

  /** Throws FILE_NOT_FOUND or INVALID_FILE. */
  async readProjection(layer: number, name: ProjectionName): Promise<ProjectionSensitivity> {
    return this.#reading(this.#blockPath(layer), async (file, header) => {
      const matrix = async (tensorName: string) => {
        const tensor = header.tensors.find(candidate => candidate.name === tensorName)
        if (tensor === undefined) return undefined
        const packed = new Float32Array((await file.read(tensor.position, tensor.bytes)).buffer)
        return native.unpackLowerAsync(packed, Math.floor(Math.sqrt(2 * packed.length)))
      }
      const inputHessian = await matrix(`${name}.input_hessian`)
      if (inputHessian === undefined) throw new PyramidionError('INVALID_FILE', `${file.path}: has no ${name}`)
      const squaredGradient = squaresOf(header)[name]
      return { inputHessian, outputHessian: await matrix(`${name}.output_hessian`), squaredGradient }
    })
  }

  async readSquaredGradients(layer: number): Promise<Record<ProjectionName, number>> {
    return this.#reading(this.#blockPath(layer), async (_, header) => squaresOf(header))
  }

  /** Keeps the gradients at the output of block `layer`, one entry a window, instead of those kept before. */
  async writeGradients(layer: number, gradients: ActivationStore): Promise<void> {
    const tensors = Array.from({ length: gradients.count }, (_, window): TensorToWrite => {
      const length = gradients.lengthOf(window)
      const data = async () => bytesOf(await gradients.read(window))
      return { name: String(window), format: 'f32', shape: [length], bytes: 4 * length, data }
    })
    await this.#write(this.#gradientsPath(layer), tensors, [])
    await this.removeGradients(layer)
  }

  /** Fills `gradients` with what an interrupted run kept; returns the block whose output they are at, undefined for none. */
  async readGradients(gradients: ActivationStore): Promise<number | undefined> {
    for (const layer of (await this.#gradientLayers()).sort((a, b) => a - b)) {
      const path = this.#gradientsPath(layer)
      if (!(await this.#isOurs(path))) continue
      await this.#reading(path, async (file, { tensors }) => {
        for (const { name, position, bytes } of tensors) {
          const values = await file.read(position, bytes)
          await gradients.write(Number(name), new Float32Array(values.buffer))
        }
      })
      return layer
    }
    return undefined
  }

  /** Removes all gradients kept but those of block `except`. */
  async removeGradients(except?: number): Promise<void> {
    for (const layer of await this.#gradientLayers()) {
      if (layer !== except) await rm(this.#gradientsPath(layer), { force: true })
    }
  }

  async #gradientLayers(): Promise<number[]> {
    const names = await readdir(this.folder).catch((): string[] => [])
    return names.flatMap(name => gradientsName.exec(name)?.[1] ?? []).map(Number)
  }

  #blockPath(layer: number): string {
    return join(this.folder, `block-${layer}.safetensors`)
  }

  #gradientsPath(layer: number): string {
    return join(this.folder, `gradients-${layer}.safetensors`)
  }

  async #write(path: string, tensors: TensorToWrite[], metadata: [string, string][]): Promise<void> {
    await writing(path, async () => {
      await mkdir(this.folder, { recursive: true })
      await writeSafetensors(`${path}.new`, tensors, new Map([['fingerprint', this.fingerprint], ...metadata]))
      await rename(`${path}.new`, path)
      await syncFolderOf(path)
    })
  }

  async #reading<T>(path: string, use: (file: BinaryFile, header: SafetensorsHeader) => Promise<T>): Promise<T> {
    const file = await BinaryFile.open(path)
    try {
      const header = await readSafetensorsHeader(file)
      if (header.metadata.get('fingerprint') !== this.fingerprint)
        throw new PyramidionError('INVALID_FILE', `${path}: was made by another run`)
      return await use(file, header)
    } finally {
      await file.close()
    }
  }

  async #isOurs(path: string): Promise<boolean> {
    return this.#reading(path, async () => true).catch(() => false)
  }
}

function squaresOf(header: SafetensorsHeader): Record<ProjectionName, number> {
  const squares = JSON.parse(header.metadata.get('squared_gradients') ?? '{}')
  return Object.fromEntries(projectionNames.map(name => [name, Number(squares[name])])) as Record<
    ProjectionName,
    number
  >
}

function triangle(name: string, hessian: Hessian): TensorToWrite {
  const width = hessian.inFeatures
  const length = (width * (width + 1)) / 2
  return { name, format: 'f32', shape: [length], bytes: 4 * length, data: () => packed(hessian.mean(), width) }
}

function packed(matrix: Float64Array, width: number): Uint8Array {
  const values = new Float32Array((width * (width + 1)) / 2)
  for (let i = 0, at = 0; i < width; at += ++i) values.set(matrix.subarray(i * width, i * width + i + 1), at)
  return bytesOf(values)
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
