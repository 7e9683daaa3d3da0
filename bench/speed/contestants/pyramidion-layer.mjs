// A layer of ours as a model runs it: rotation, rounding of its inputs, product.

import { pvq } from '../../../dist/index.js'
import { sharedActivationQuantizer } from '../../../dist/linear/activations.js'
import { sharedRotation } from '../../../dist/linear/rotation.js'
import { native } from '../../../dist/native.js'
import { coldCopies, rotating } from '../caches.mjs'
import { gaussians, randomStored } from '../random-weights.mjs'

export async function prepare({ rows, columns, code, bits, layout, activations, threads, cold }) {
  native.setThreadCount(threads)
  const { weights, rotation } = await randomStored(rows, columns, code ? { quantizer: pvq(code) } : { bits })
  const make = () =>
    new native.Linear({
      weights,
      rotation: sharedRotation(columns, rotation.seed),
      activations: sharedActivationQuantizer(activations, columns),
      layout,
    })
  const copies = [make()]
  const [{ bytes, layout: used = 'compact' }] = copies
  if (used !== layout) throw new Error(`this code has no ${layout} layout`)
  if (cold) while (copies.length < coldCopies(bytes)) copies.push(make())
  return {
    bits: (8 * bytes) / (rows * columns),
    layout: used,
    action({ tokens, cold }) {
      const x = gaussians(tokens * columns, 2)
      const y = new Float32Array(tokens * rows)
      const next = rotating(copies, cold)
      return { run: () => next().forward(x, tokens, y, false), units: rows * columns * tokens }
    },
  }
}
