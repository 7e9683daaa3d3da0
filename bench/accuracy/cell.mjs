// One cell, in a process of its own, so that its memory and processor time are its own: quantizes, measures, prints the figures
// as JSON. Its one argument is JSON: { source, calibration, text, windows, bits, settings, output, calibrationCache, referenceCache }, and `activations` where the
// model is measured with several formats of inputs, too. What a killed run left at `output` is used.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { evaluate, quantizeModel } from '../../dist/index.js'

const payload = JSON.parse(process.argv[2])
const { source, calibration, text, windows, bits, settings, activations, output, calibrationCache, referenceCache } =
  payload
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
const measure = async format => {
  const result = await evaluate({
    ...{ model: output, reference: source, text: scored, windows, referenceCache },
    ...(format === undefined ? {} : { activations: format }),
  })
  const { perplexity, klDivergence, topAgreement, tokens, reference } = result
  return { perplexity, klDivergence, topAgreement, tokens, referencePerplexity: reference.perplexity }
}
const measured = await measure()
const byActivations = []
for (const format of activations ?? []) byActivations.push({ format, ...(await measure(format)) })
rmSync(output, { recursive: true })

const { linearBitsPerWeight, bitsPerWeight, bytes, peakMemoryBytes } = quantized
console.log(
  JSON.stringify({
    linearBitsPerWeight,
    bitsPerWeight,
    bytes,
    // What quantization took is not known of a run in parts.
    ...(resumed ? {} : { seconds: quantized.seconds, processorSeconds, peakMemoryBytes }),
    ...measured,
    ...(activations ? { byActivations } : {}),
  }),
)

function seconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
