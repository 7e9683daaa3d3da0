// `pyramidion evaluate MODEL --text FILE`: perplexity, and divergence from a reference model.
import { Command } from 'commander'
import { openModel } from '../checkpoint/open-model.js'
import type { DeviceChoice } from '../device.js'
import { evaluate } from '../evaluation/evaluate.js'
import { type Activations, storedActivations } from '../linear/activations.js'
import { loadModel } from '../model/load-model.js'
import type { KeyValueFormat } from '../native.js'
import {
  activationsOption,
  deviceHelp,
  deviceOption,
  formatTable,
  integerOption,
  keyValueOption,
  printJson,
  printWarning,
  readText,
  withProgress,
} from './terminal.js'

interface Options {
  text: string
  reference?: string
  referenceCache?: string
  activations?: Activations
  kvCache?: KeyValueFormat
  device: DeviceChoice
  window: number
  stride?: number
  windows?: number
  json: boolean
  quiet: boolean
}

export function evaluateCommand(signal: AbortSignal): Command {
  return new Command('evaluate')
    .summary('perplexity over a text, and KL divergence from a reference model')
    .description(
      "Follows llama.cpp's convention, so that figures compare: consecutive windows, the second half of each scored,\n" +
        'no token added in front unless the tokenizer asks for it.',
    )
    .argument('<model>', 'quantized folder, Hugging Face folder or GGUF file')
    .requiredOption('-t, --text <file>', 'UTF-8 text to score')
    .option('-r, --reference <model>', 'the model to compare with, usually the unquantized one')
    .option('--reference-cache <folder>', 'keep what the reference makes of the text there, and use it the next time')
    .option(
      '--activations <format>',
      'round the inputs of linear layers: float, int8, mxint2 to mxint8, pvq:BITS or pvq:D,K,L (default: as the model says)',
      activationsOption,
    )
    .option('--kv-cache <format>', 'round keys and values to f32, f16 or int8 (default: f16)', keyValueOption)
    .option('--device <name>', `${deviceHelp}; the reference stays on the processor`, deviceOption, 'cpu')
    .option('--window <tokens>', 'tokens a window', integerOption(4), 512)
    .option('--stride <tokens>', 'tokens from one window to the next (default: the window)', integerOption(1))
    .option('--windows <n>', 'only the first n windows', integerOption(1))
    .option('--json', 'print one JSON object', false)
    .option('--quiet', 'no progress bar', false)
    .action(async (model: string, options: Options) => {
      const { reference, referenceCache, activations, kvCache, device, window, stride, windows } = options
      const text = await readText(options.text, '--text')
      const settings = { reference, referenceCache, text, window, stride, windows, signal }
      const result = await withProgress(options.quiet || options.json, async onProgress => {
        if (device === 'cpu') return evaluate({ model, activations, kvCache, ...settings, onProgress })
        const inputs = activations ?? (await activationsOf(model))
        const loaded = await loadModel(model, { activations: inputs, kvCache, device, onWarning: printWarning, signal })
        try {
          return await evaluate({ model: loaded, ...settings, onProgress })
        } finally {
          await loaded.dispose()
        }
      })
      if (options.json) {
        printJson(result)
        return
      }
      const rows = [
        ['perplexity', result.perplexity.toFixed(4)],
        ['tokens scored', String(result.tokens)],
        ['tokens per second', result.tokensPerSecond.toFixed(1)],
      ]
      if (result.klDivergence !== undefined && result.reference !== undefined) {
        rows.push(
          ['reference perplexity', result.reference.perplexity.toFixed(4)],
          ['KL divergence, mean', result.klDivergence.mean.toFixed(5)],
          ['KL divergence, median', result.klDivergence.median.toFixed(5)],
          ['KL divergence, 99th percentile', result.klDivergence.p99.toFixed(4)],
          ['same top token', `${((result.topAgreement ?? 0) * 100).toFixed(2)} %`],
        )
      }
      process.stdout.write(`${formatTable(['', model], rows)}\n`)
    })
}

/** What evaluate takes for a model on the processor; loadModel would take int8 where nothing is noted. */
async function activationsOf(path: string): Promise<Activations> {
  const source = await openModel(path)
  try {
    return storedActivations(source.quantizationConfig, path)
  } finally {
    await source.close()
  }
}
