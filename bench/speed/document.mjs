// docs/performance.md: a dated run with the machine it was made on.
import { markdownTable } from './tables.mjs'

export function performanceDocument({ only, note, machine, limits, tables, versions, settings }) {
  const gigabytes = bytes => `${(bytes / 1e9).toFixed(1)} GB`
  const billions = value => (value / 1e9).toFixed(0)
  const limitLines = Object.entries(limits)
    .filter(([, limit]) => limit !== undefined)
    .map(
      ([threads, { readBandwidth, byteProducts, byteInstruction, floatProducts }]) =>
        `- ${threads} thread(s): reads ${gigabytes(readBandwidth)}/s; 10^9 products a second: bytes ${billions(byteProducts)} (${byteInstruction}), float ${billions(floatProducts)}`,
    )
  return `# Performance

Written by \`npm run bench -- --document FILE${only === undefined ? '' : ` --only ${only}`}\`. ${machine.date} UTC, commit ${machine.commit}; the machine's load average was ${machine.load.toFixed(1)} when the run began. ${note}

- ${machine.processor}, ${machine.cores} cores, ${gigabytes(machine.memory)} of memory, last-level cache ${(machine.lastLevelCache / 2 ** 20).toFixed(0)} MiB; Node ${machine.node}
- instruction sets: ${machine.instructionSets.join(', ')}; kernels: ${Object.entries(machine.kernels)
    .map(([family, kernel]) => `${family} ${kernel}`)
    .join(', ')}
${limitLines.join('\n')}
- peers: ${versions.join(', ')}

Contestants run in processes of their own and take turns, ${settings.rounds} rounds of about ${settings.seconds} s; rates are medians over the rounds, ratios medians of
the ratios within a round. "Cold": a product's weights have left the last-level cache when their turn comes again. Our layers include
rotation and the rounding of inputs to int8. llama.cpp's types are timed by a random model of two blocks in node-llama-cpp: multiplications of its linear layers (of the last block only those
that llama.cpp does: it leaves out what only the last token's logits depend on) over the time from a prompt to the token behind it. onnxruntime's MatMul in single precision is the plain BLAS product.

${tables.map(table => `## ${table.title}\n\n${markdownTable(table)}`).join('\n\n')}
`
}
