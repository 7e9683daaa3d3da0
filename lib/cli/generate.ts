// `pyramidion generate MODEL PROMPT`: streams a completion, or an answer with --chat.
import { text as readAll } from 'node:stream/consumers'
import { Command } from 'commander'
import type { DeviceChoice } from '../device.js'
import type { Activations } from '../linear/activations.js'
import type { Layout } from '../linear/layout.js'
import { loadModel } from '../model/load-model.js'
import type { KeyValueFormat } from '../native.js'
import {
  activationsOption,
  deviceHelp,
  deviceOption,
  integerOption,
  keyValueOption,
  layoutOption,
  numberOption,
  printJson,
  printWarning,
} from './terminal.js'

interface Options {
  chat: boolean
  system?: string
  maxTokens: number
  temperature: number
  topK?: number
  topP?: number
  seed?: number
  threads?: number
  activations?: Activations
  kvCache?: KeyValueFormat
  layout?: Layout
  device: DeviceChoice
  json: boolean
}

export function generateCommand(signal: AbortSignal): Command {
  return new Command('generate')
    .summary('continue a text, or answer a message')
    .argument('<model>', 'quantized folder, Hugging Face folder or GGUF file')
    .argument('[prompt]', 'the text to continue; read from standard input when absent')
    .option('--chat', "treat the prompt as a user's message, through the model's chat template", false)
    .option('--system <text>', 'system message for --chat')
    .option('-n, --max-tokens <n>', 'stop after so many tokens', integerOption(1), 128)
    .option('--temperature <t>', '0 always takes the likeliest token', numberOption(0, 100), 0)
    .option('--top-k <k>', 'sample among the k likeliest tokens', integerOption(1))
    .option('--top-p <p>', 'sample among the likeliest tokens that hold this share', numberOption(0, 1))
    .option('--seed <n>', 'seed of the sampler', integerOption(0, 2 ** 32 - 1))
    .option('--threads <n>', 'threads to compute with (default: every core)', integerOption(1, 1024))
    .option(
      '--activations <format>',
      'round the inputs of linear layers: float, int8, mxint2 to mxint8, pvq:BITS or pvq:D,K,L (default: as the model says, else int8 for a quantized one)',
      activationsOption,
    )
    .option('--kv-cache <format>', 'round keys and values to f32, f16 or int8 (default: f16)', keyValueOption)
    .option('--device <name>', deviceHelp, deviceOption, 'cpu')
    .option('--layout <form>', 'of PVQ codes in memory: compact, split, expanded or auto (default: auto)', layoutOption)
    .option('--json', 'print one JSON object when done instead of streaming', false)
    .action(async (path: string, prompt: string | undefined, options: Options) => {
      const { maxTokens, temperature, topK, topP, seed } = options
      const input = prompt ?? (await readAll(process.stdin))
      const { threads, activations, kvCache, layout, device } = options
      const model = await loadModel(path, {
        signal,
        threads,
        activations,
        kvCache,
        layout,
        device,
        onWarning: printWarning,
      })
      try {
        const settings = { maxTokens, temperature, topK, topP, seed, signal }
        const system = options.system === undefined ? [] : [{ role: 'system', content: options.system }]
        const pieces = options.chat
          ? model.chat([...system, { role: 'user', content: input }], settings)
          : model.generate(input, settings)
        const started = performance.now()
        let output = ''
        for await (const piece of pieces) {
          output += piece
          if (!options.json) process.stdout.write(piece)
        }
        if (options.json) printJson({ prompt: input, text: output, seconds: (performance.now() - started) / 1000 })
        else process.stdout.write('\n')
      } finally {
        await model.dispose()
      }
    })
}
