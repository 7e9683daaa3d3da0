// The layer that guided.cc wrote (dump=PREFIX), rounded with the library's pyramids: the error relative to the outputs with plain and with guided
// rounding.
//
//   node bench/codes/guided.mjs PREFIX [columns, 576] [D,K,L]...
import { readFileSync } from 'node:fs'
import { Hessian, pvq, quantizeLinear } from '../../dist/index.js'

const [prefix, width = '576', ...rest] = process.argv.slice(2)
const columns = Number(width)
const read = suffix => new Float32Array(new Uint8Array(readFileSync(prefix + suffix)).buffer)
const weight = read('.w')
const inputs = read('.x')
const shape = { outFeatures: weight.length / columns, inFeatures: columns }
const hessian = new Hessian(columns)
hessian.add(inputs, columns)

/** |M X^T|^2 */
function outputEnergy(matrix) {
  let energy = 0
  for (let row = 0; row < shape.outFeatures; row++) {
    for (let token = 0; token < columns; token++) {
      let sum = 0
      for (let i = 0; i < columns; i++) sum += matrix[row * columns + i] * inputs[token * columns + i]
      energy += sum * sum
    }
  }
  return energy
}

const energy = outputEnergy(weight)
const settings = rest.length ? rest.map(setting => setting.split(',').map(Number)) : [[16, 24, 7]]
for (const [dimension, pulses, levels] of settings) {
  for (const rounding of ['nearest', 'guided']) {
    const layer = await quantizeLinear(weight, shape, {
      quantizer: pvq({ dimension, pulses, levels }),
      hessian,
      rounding,
      rotation: 'none',
    })
    const error = layer.dequantize().map((value, i) => weight[i] - value)
    console.log(`D=${dimension} K=${pulses} L=${levels} ${rounding} error=${(outputEnergy(error) / energy).toFixed(5)}`)
  }
}
