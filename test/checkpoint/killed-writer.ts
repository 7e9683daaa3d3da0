// A process that writes the example checkpoint, for the test that kills it. It tells its parent when it starts.
import { CheckpointWriter } from '../../dist/checkpoint/checkpoint-writer.js'
import { exampleFiles, exampleWeights, plainTensors } from './example-checkpoint.js'

process.send?.('started')
const writer = await CheckpointWriter.open({
  output: process.argv[2],
  fingerprint: 'source and options',
  files: exampleFiles,
  quantization: { bits: 3.25 },
})
for (const [name, stored] of exampleWeights())
  if (!writer.has(name)) await writer.addQuantized(name, stored, { error: 0.5 })
for (const [name, tensor] of plainTensors()) if (!writer.has(name)) await writer.addPlain(name, tensor)
await writer.finalize()
