/** What tests of quantizeModel share: the model that ships in the repository, its texts, and names of folders to write to. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LayerReport } from '../../dist/index.js'
import { temporaryFolder } from '../checkpoint/temporary-folder.js'

export const tales = fileURLToPath(new URL('../../models/tales', import.meta.url))
export const calibration = readFileSync(join(tales, 'calibration.txt'), 'utf8').slice(0, 20_000)
export const evaluationText = readFileSync(join(tales, 'evaluation.txt'), 'utf8').slice(0, 20_000)

export const output = () => join(temporaryFolder(), 'quantized')
export const untimed = (layers: LayerReport[]) => layers.map(layer => ({ ...layer, seconds: undefined }))
export const weightsOf = (folder: string) => readFileSync(join(folder, 'model.safetensors'))
