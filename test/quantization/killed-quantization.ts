// A process that quantizes models/tales with calibration, for the test that kills it: argv holds the output and the options.
import { quantizeModel } from '../../dist/index.js'

const [source, output, options] = process.argv.slice(2)
await quantizeModel(source, {
  ...JSON.parse(options),
  output,
  onProgress: ({ done, total }) => process.send?.(done / total),
})
