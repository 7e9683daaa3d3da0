/** What a run of quantizeModel did to a model, as data: report.json. report-page.ts makes the page to look at of it. */
import { basename } from 'node:path'
import type { ModelSource } from '../checkpoint/model-source.js'
import { requiredTensors } from '../model/tensor-requirements.js'
import { packageVersion } from '../package-version.js'
import type { QuantizeModelResult, QuantizePayload } from './quantize-model.js'
import { sizeOf } from './quantize-plan.js'
import { reportPage } from './report-page.js'

export interface QuantizationReport extends QuantizeModelResult {
  format: 'pyramidion quantization report'
  version: 1
  /** Of this package. */
  packageVersion: string
  /** When the run ended, ISO 8601. */
  date: string
  model: { name: string; architecture: string; parameters: number }
  /** The options, with their defaults; of the calibration text only its size. */
  settings: Record<string, unknown>
}

export function quantizationReport(
  source: ModelSource,
  payload: QuantizePayload,
  result: QuantizeModelResult,
): QuantizationReport {
  const { source: path, output, overwrite, report, calibration, ...settings } = payload
  const characters = calibration.reduce((sum, text) => sum + text.length, 0)
  return {
    format: 'pyramidion quantization report',
    version: 1,
    packageVersion,
    date: new Date().toISOString(),
    model: {
      // The folders above it are the user's own business.
      name: basename(path),
      architecture: source.config.architecture,
      parameters: requiredTensors(source.config).reduce((sum, tensor) => sum + sizeOf(tensor), 0),
    },
    settings: { ...settings, calibrationCharacters: characters },
    ...result,
  }
}

/** The report's files by name. */
export function reportFiles(report: QuantizationReport): Map<string, string> {
  return new Map([
    ['report.json', `${JSON.stringify(report, null, 2)}\n`],
    ['report.html', reportPage(report)],
  ])
}
