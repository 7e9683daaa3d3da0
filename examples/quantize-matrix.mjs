// Quantizes one weight matrix and compares what the layer computes with the exact product.
//
//   node examples/quantize-matrix.mjs [bits]
import { quantizeLinear } from 'pyramidion'

const [outFeatures, inFeatures] = [512, 1536]
const bits = Number(process.argv[2] ?? 3.25)
const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())
const weight = Float32Array.from({ length: outFeatures * inFeatures }, () => 0.02 * gaussian())
const x = Float32Array.from({ length: inFeatures }, gaussian)

const layer = await quantizeLinear(weight, { outFeatures, inFeatures }, { bits })
const y = await layer.forwardAsync(x)

let [signal, noise] = [0, 0]
for (let row = 0; row < outFeatures; row++) {
  const exact = x.reduce((sum, value, i) => sum + value * weight[row * inFeatures + i], 0)
  signal += exact ** 2
  noise += (exact - y[row]) ** 2
}
console.log(
  `${layer.bitsPerWeight.toFixed(3)} bits a weight, ${layer.memoryBytes} bytes instead of ${4 * weight.length}`,
)
console.log(`relative squared error of the output ${(noise / signal).toFixed(4)}`)
