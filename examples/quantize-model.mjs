// Quantizes a model, measures what that cost, and lets the result talk.
//
//   node examples/quantize-model.mjs SOURCE OUTPUT TEXT [bits]
import { readFile } from 'node:fs/promises'
import { evaluate, loadModel, quantizeModel } from 'pyramidion'

const [source, output, textFile, bits = '3.25'] = process.argv.slice(2)
if (textFile === undefined) throw new Error('usage: node examples/quantize-model.mjs SOURCE OUTPUT TEXT [bits]')

const result = await quantizeModel(source, {
  bits: Number(bits),
  output,
  onProgress: ({ done, total }) => process.stderr.write(`\r${Math.round((100 * done) / total)} %`),
})
console.log(
  `\n${result.linearBitsPerWeight.toFixed(3)} bits a weight, ${result.bytes} bytes in ${result.seconds.toFixed(1)} s`,
)

const text = await readFile(textFile, 'utf8')
const { perplexity, reference, klDivergence } = await evaluate({ model: output, reference: source, text, windows: 4 })
console.log(
  `perplexity ${perplexity.toFixed(2)} (${reference.perplexity.toFixed(2)}), KL ${klDivergence.mean.toFixed(4)}`,
)

const model = await loadModel(output)
for await (const piece of model.generate('Once upon a time', { maxTokens: 40, seed: 1 })) process.stdout.write(piece)
process.stdout.write('\n')
await model.dispose()
