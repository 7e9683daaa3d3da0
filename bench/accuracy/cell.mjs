// One cell, in a process of its own, so that its memory and processor time are its own: quantizes, measures, prints the figures
// as JSON. Its one argument is JSON: { source, calibration, text, windows, bits, settings, output, calibrationCache, referenceCache }. What a killed run left at
// `output` is used.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { evaluate, quantizeModel } from '../../dist/index.js'

const { source, calibration, text, windows, bits, settings, output, calibrationCache, referenceCache } = JSON.parse(
  process.argv[2],
)
/** Labels of what is measured on the original alone: its time is left out, because only the first cell of a model spends it. */
const onOriginal = /^(sensitivity|reading)/
let before = 0
const resumed = existsSync(output) || existsSync(`${output}.partial`)
const quantized = existsSync(output)
  ? JSON.parse(readFileSync(join(output, 'report.json'), 'utf8'))
  : await quantizeModel(source, {
      ...settings,
      ...(settings.calibration ? { calibration: readFileSync(calibration, 'utf8') } : {}),
      bits,
      output,
      calibrationCache,
      onProgress: ({ label }) => {
        if (onOriginal.test(label)) before = seconds()
      },
    })
const processorSeconds = seconds() - before
const scored = readFileSync(text, 'utf8')
const measured = await evaluate({ model: output, reference: source, text: scored, windows, referenceCache })
rmSync(output, { recursive: true })

const { linearBitsPerWeight, bitsPerWeight, bytes, peakMemoryBytes } = quantized
const { perplexity, klDivergence, topAgreement, tokens, reference } = measured
console.log(
  JSON.stringify({
    linearBitsPerWeight,
    bitsPerWeight,
    bytes,
    // What quantization took is not known of a run in parts.
    ...(resumed ? {} : { seconds: quantized.seconds, processorSeconds, peakMemoryBytes }),
    perplexity,
    klDivergence,
    topAgreement,
    tokens,
    referencePerplexity: reference.perplexity,
  }),
)

function seconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
