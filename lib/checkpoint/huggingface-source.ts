/** A Hugging Face model folder, plain or quantized by this library, as a ModelSource. */
import { join } from 'node:path'
import { PyramidionError } from '../errors.js'
import { describe, Fields, isObject, type UntrustedObject } from './fields.js'
import { parseHuggingFaceConfig } from './huggingface-config.js'
import { parseJsonObject, readText } from './json-file.js'
import type { ModelConfig } from './model-config.js'
import type { ModelSource, TensorInfo } from './model-source.js'
import type { QuantizedTensorMetadata } from './quantized-metadata.js'
import { SafetensorsModel } from './safetensors-model.js'
import type { Tokenizer } from './tokenizer.js'
import { openTokenizer } from './tokenizer-files.js'

/** Text files that travel with the weights, besides config.json. */
const companionNames = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
]

/** `quantization_config` values this version writes and reads. */
export const quantizationMethod = { quant_method: 'pvq', version: 1 }

export class HuggingFaceSource implements ModelSource {
  readonly kind: 'huggingface' | 'quantized'
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly quantized: ReadonlyMap<string, QuantizedTensorMetadata>
  readonly fingerprint: string
  readonly bytes: number

  private constructor(
    readonly path: string,
    readonly config: ModelConfig,
    private readonly configJson: UntrustedObject,
    readonly quantizationConfig: Readonly<Record<string, unknown>>,
    private readonly weights: SafetensorsModel,
  ) {
    this.kind = isQuantized(configJson) ? 'quantized' : 'huggingface'
    this.quantized = this.kind === 'quantized' ? weights.quantizedTensors() : new Map()
    this.tensors = weights.tensors
    this.fingerprint = weights.fingerprint
    this.bytes = weights.bytes
  }

  static async open(folder: string): Promise<HuggingFaceSource> {
    const path = join(folder, 'config.json')
    const json = parseJsonObject(await readText(path), path)
    const quantization = checkQuantization(json, path)
    const generationPath = join(folder, 'generation_config.json')
    const generation = await readText(generationPath, true)
    const config = parseHuggingFaceConfig(
      json,
      path,
      generation === undefined ? undefined : new Fields(parseJsonObject(generation, generationPath), generationPath),
    )
    const weights = await SafetensorsModel.open(folder)
    try {
      return new HuggingFaceSource(folder, config, json, quantization, weights)
    } catch (error) {
      await weights.close()
      throw error
    }
  }

  read(name: string, signal?: AbortSignal): Promise<Uint8Array> {
    return this.weights.read(name, signal)
  }

  async tokenizer(): Promise<Tokenizer> {
    return openTokenizer(await this.files(), this.path, this.config)
  }

  async files(): Promise<Map<string, string>> {
    const { quantization_config: _, ...config } = this.configJson
    const files = new Map([['config.json', `${JSON.stringify(config, null, 2)}\n`]])
    for (const name of companionNames) {
      const text = await readText(join(this.path, name), true)
      if (text !== undefined) files.set(name, text)
    }
    return files
  }

  close(): Promise<void> {
    return this.weights.close()
  }
}

function isQuantized(config: UntrustedObject): boolean {
  return isObject(config.quantization_config)
}

/** Weights quantized by other tools have tensors of other names; refuse them here, with their method's name. */
function checkQuantization(config: UntrustedObject, where: string): UntrustedObject {
  const fields = new Fields(config, where)
  if (!fields.has('quantization_config')) return {}
  const quantization = fields.object('quantization_config')
  const method = quantization.get('quant_method')
  if (method !== quantizationMethod.quant_method)
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${where}: the weights are quantized with ${describe(method)}; this library reads plain weights and its own "pvq"`,
    )
  const version = quantization.get('version')
  if (version !== quantizationMethod.version)
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${quantization.where}: version is ${describe(version)}; this version of the library reads version 1`,
    )
  return quantization.values
}
