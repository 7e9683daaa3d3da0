// `pyramidion quantize SOURCE --output FOLDER --bits N`: quantizeModel on the command line.
import { Command, Option } from 'commander'
import type { DeviceChoice } from '../device.js'
import { formatBytes } from '../format-bytes.js'
import type { Activations } from '../linear/activations.js'
import { type QuantizeModelOptions, quantizeModel } from '../quantization/quantize-model.js'
import type { RecoveryReport } from '../quantization/recovery-phase.js'
import { ratesTable } from './rates-table.js'
import {
  activationsOption,
  deviceHelp,
  deviceOption,
  integerOption,
  numberOption,
  printJson,
  printWarning,
  readText,
  withProgress,
} from './terminal.js'

interface Options {
  output: string
  bits?: number
  size?: string
  quantizer: 'pvq' | 'integer' | 'mxint'
  lattice: 'integer' | 'barnes-wall'
  rounding: 'guided' | 'nearest'
  rank: number | 'auto'
  lowRank: 'lqer' | 'l2qer' | 'qera'
  embeddingBits?: number
  calibration?: string
  activations?: Activations
  calibrationTokens: number
  calibrationMemory: number
  recovery: number
  calibrationCache?: string
  seed: number
  device: DeviceChoice
  overwrite: boolean
  report: boolean
  json: boolean
  quiet: boolean
}

const parseRank = integerOption(0, 4096)

export function quantizeCommand(signal: AbortSignal): Command {
  return new Command('quantize')
    .summary('quantize the linear layers of a model to any fractional bit rate')
    .description(
      'Quantizes every linear layer of SOURCE and writes a folder that loads without SOURCE.\n' +
        'An interrupted run continues where it stopped when the same command is given again.',
    )
    .argument('<source>', 'Hugging Face folder or GGUF file')
    .requiredOption('-o, --output <folder>', 'where the quantized model goes')
    .option('-b, --bits <n>', 'bits a weight of the linear layers, everything counted', numberOption(1, 8))
    .option('--size <bytes>', 'instead of --bits: of the weight files, embedding and head included, like 60MB or 60MiB')
    .addOption(
      new Option('--quantizer <name>', 'pvq, or a baseline').choices(['pvq', 'integer', 'mxint']).default('pvq'),
    )
    .addOption(
      new Option('--lattice <name>', 'of pvq groups of 16: barnes-wall has less error and decodes more slowly')
        .choices(['integer', 'barnes-wall'])
        .default('integer'),
    )
    .addOption(
      new Option('--rounding <how>', 'guided by the calibration text, or nearest')
        .choices(['guided', 'nearest'])
        .default('guided'),
    )
    .option(
      '--rank <n>',
      'rank of the low-rank correction, or auto: only where it beats the same bytes spent on the code',
      (text: string) => (text === 'auto' ? 'auto' : parseRank(text)),
      0,
    )
    .addOption(
      new Option('--low-rank <method>', 'lqer needs no calibration; l2qer and qera do')
        .choices(['lqer', 'l2qer', 'qera'])
        .default('lqer'),
    )
    .option('--embedding-bits <n>', 'quantize the embedding and the head too', numberOption(1, 8))
    .option('--calibration <file>', 'text like what the model will read, to round the weights for it')
    .option(
      '--activations <format>',
      'what inputs of linear layers are rounded to at run time: float, int8, mxint2 to mxint8, pvq:BITS or pvq:D,K,L',
      activationsOption,
    )
    .option(
      '--calibration-tokens <n>',
      'how much of the text is used, spread evenly',
      integerOption(1, 2 ** 30),
      65_536,
    )
    .option(
      '--calibration-memory <MiB>',
      'memory for hidden states of the text; the rest goes to a file beside the output',
      integerOption(0, 2 ** 30),
      1024,
    )
    .option(
      '--calibration-cache <folder>',
      'keeps what calibration measures on the original, for other rates of the same model and text',
    )
    .option(
      '--recovery <steps>',
      'then fit scales, gain levels and norms to what the original predicts over the text, 2048 tokens a step',
      integerOption(0, 100_000),
      0,
    )
    .option('--seed <n>', 'seed of the rotation signs', integerOption(0, 2 ** 32 - 1), 0)
    .option('--device <name>', deviceHelp, deviceOption, 'cpu')
    .option('--overwrite', 'replace the output folder if it exists', false)
    .option('--no-report', 'leave out report.html and report.json')
    .option('--json', 'print one JSON object', false)
    .option('--quiet', 'no progress bar', false)
    .addHelpText(
      'after',
      `
Examples:
  $ pyramidion quantize model.gguf -o model-3.25 -b 3.25
  $ pyramidion quantize model.gguf -o model-60 --size 60MB --calibration text.txt
  $ pyramidion quantize hf-folder -o small -b 2.5 --rank auto --low-rank qera --calibration text.txt`,
    )
    .action(async (source: string, options: Options) => {
      const settings: QuantizeModelOptions = {
        bits: options.bits,
        size: options.size,
        output: options.output,
        quantizer: options.quantizer,
        lattice: options.lattice,
        rounding: options.rounding,
        rank: options.rank,
        lowRank: options.lowRank,
        embeddingBits: options.embeddingBits,
        calibration:
          options.calibration === undefined ? undefined : await readText(options.calibration, '--calibration'),
        activations: options.activations,
        calibrationTokens: options.calibrationTokens,
        calibrationMemory: options.calibrationMemory * 2 ** 20,
        calibrationCache: options.calibrationCache,
        recovery: options.recovery,
        seed: options.seed,
        device: options.device,
        onWarning: printWarning,
        overwrite: options.overwrite,
        report: options.report,
        signal,
      }
      const result = await withProgress(options.quiet || options.json, onProgress =>
        quantizeModel(source, { ...settings, onProgress }),
      )
      if (options.json) {
        printJson(result)
        return
      }
      process.stdout.write(
        `${options.output}: ${result.linearBitsPerWeight.toFixed(3)} bits a weight in the linear layers, ` +
          `${result.bitsPerWeight.toFixed(3)} over the whole model, ${formatBytes(result.bytes)}, ` +
          `weights ${formatBytes(result.weightBytes)}; ` +
          `${result.seconds.toFixed(1)} s, peak memory ${formatBytes(result.peakMemoryBytes)}\n\n` +
          `${ratesTable(result.layers)}\n${recoveryLine(result.recovery)}`,
      )
    })
}

function recoveryLine(recovery: RecoveryReport | undefined): string {
  if (recovery === undefined) return ''
  const [before, after] = [recovery.divergenceBefore, recovery.divergenceAfter].map(value => value.toFixed(4))
  const verdict = recovery.kept ? '' : ': not kept'
  return `\nrecovery: KL divergence over text held out ${before} before, ${after} after${verdict}\n`
}
