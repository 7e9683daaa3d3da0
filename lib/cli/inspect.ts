// `pyramidion inspect MODEL`: what a model consists of and how many bits each part takes.
import { Command } from 'commander'
import { inspectModel, type WeightInspection } from '../evaluation/inspect.js'
import { formatBytes } from '../format-bytes.js'
import { formatTable, printJson } from './terminal.js'

export function inspectCommand(): Command {
  return new Command('inspect')
    .summary('list the weights of a model, their formats and bits')
    .description('Reads the headers only. Blocks that are stored alike are shown in one line.')
    .argument('<model>', 'quantized folder, Hugging Face folder or GGUF file')
    .option('--all', 'a line for every tensor', false)
    .option('--json', 'print one JSON object', false)
    .action(async (path: string, options: { all: boolean; json: boolean }) => {
      const inspection = await inspectModel(path)
      if (options.json) {
        printJson(inspection)
        return
      }
      const { kind, architecture, parameters, bytes, bitsPerWeight, linearBitsPerWeight, weights } = inspection
      process.stdout.write(
        `${path}: ${architecture}, ${kind}, ${(parameters / 1e6).toFixed(2)} M parameters, ${formatBytes(bytes)}, ` +
          `${bitsPerWeight.toFixed(3)} bits a weight, ${linearBitsPerWeight.toFixed(3)} in the linear layers\n\n`,
      )
      const rows = options.all ? weights.map(weight => line(weight.name, 1, weight)) : grouped(weights)
      process.stdout.write(
        `${formatTable(['tensor', 'count', 'shape', 'format', 'settings', 'rank', 'bits/weight'], rows)}\n`,
      )
    })
}

const line = (name: string, count: number, weight: WeightInspection): string[] => [
  name,
  String(count),
  weight.shape.join(' x '),
  weight.format,
  weight.settings,
  String(weight.rank),
  weight.bitsPerWeight.toFixed(3),
]

/** One line for the tensors that differ by their layer number alone. */
function grouped(weights: WeightInspection[]): string[][] {
  const groups = new Map<string, { name: string; weights: WeightInspection[] }>()
  for (const weight of weights) {
    const name = weight.name.replace(/\.\d+\./, '.*.')
    const key = JSON.stringify([name, weight.shape, weight.format, weight.settings, weight.rank])
    const group = groups.get(key) ?? { name, weights: [] }
    group.weights.push(weight)
    groups.set(key, group)
  }
  return [...groups.values()].map(({ name, weights }) => line(name, weights.length, weights[0]))
}
