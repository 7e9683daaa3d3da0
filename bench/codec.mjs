// The PVQ codec by itself: relative squared error on Gaussian weights for the settings of the design's table, and the
// speed of encoding, decoding and the fused matrix-vector product, in millions of weights a second.
//
//   node bench/codec.mjs [--weights 1048576] [--columns 4096] [--threads 1] [--json]
//
// PYRAMIDION_INSTRUCTION_SET=portable (or avx2, avx512) measures the slower forms.
import { parseArgs } from 'node:util'
import { formatTable } from '../dist/cli/terminal.js'
import { native } from '../dist/native.js'

const { values: options } = parseArgs({
  options: {
    weights: { type: 'string', default: String(2 ** 20) },
    columns: { type: 'string', default: '4096' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const columns = Number(options.columns)
const rows = Math.ceil(Number(options.weights) / columns)
native.setThreadCount(Number(options.threads))

/** D, K, L, the error that a near-exhaustive search reaches with them, and the lattice where it is not the integers. */
const settings = [
  [8, 6, 2, 0.1061],
  [16, 11, 3, 0.0994],
  [16, 20, 2, 0.0903, 'barnes-wall'],
  [8, 9, 3, 0.0531],
  [16, 17, 3, 0.0503],
  [16, 28, 5, 0.0455, 'barnes-wall'],
  [8, 12, 7, 0.0273],
  [16, 24, 7, 0.0249],
  [16, 40, 8, 0.0228, 'barnes-wall'],
  [8, 15, 6, 0.0195],
  [16, 29, 7, 0.0178],
  [16, 48, 9, 0.0161, 'barnes-wall'],
  [8, 25, 13, 0.0068],
  [16, 49, 14, 0.0063],
  [16, 82, 14, 0.0058, 'barnes-wall'],
]

/** Mulberry32 through Box and Muller: the same weights in every run. */
function gaussians(count, seed) {
  let state = seed
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return Float32Array.from({ length: count }, () => {
    return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  })
}

/** The best of several runs: the machine may be shared. Weights a second. */
function speed(action, repeats) {
  let best = Number.POSITIVE_INFINITY
  for (let repeat = 0; repeat < repeats; repeat++) {
    const start = performance.now()
    action()
    best = Math.min(best, performance.now() - start)
  }
  return (rows * columns * 1000) / best
}

const values = gaussians(rows * columns, 1)
const x = gaussians(columns, 2)
const decoded = new Float32Array(values.length)
const results = settings.map(([dimension, pulses, levels, reference, lattice = 'integer']) => {
  const gains = native.pvqGainLevels(dimension, pulses, levels, columns, lattice)
  const segments = [{ columns, dimension, pulses, levels: gains, lattice }]
  let encoded
  const encode = speed(() => {
    encoded = native.pvqEncode(values, rows, columns, segments)
  }, 10)
  const weights = { format: 'pvq', rows, columns, segments, ...encoded }
  native.decodeRows(weights, 0, rows, decoded)
  let error = 0
  let norm = 0
  for (let i = 0; i < values.length; i++) {
    error += (values[i] - decoded[i]) ** 2
    norm += values[i] ** 2
  }
  const linear = new native.Linear({ weights })
  const y = new Float32Array(rows)
  return {
    bits: (encoded.codes.length * 8) / values.length,
    dimension,
    pulses,
    levels,
    lattice,
    error: error / norm,
    reference,
    encode,
    decode: speed(() => native.decodeRows(weights, 0, rows, decoded), 20),
    product: speed(() => linear.forward(x, 1, y, false), 20),
  }
})

if (options.json) {
  console.log(JSON.stringify({ rows, columns, threads: Number(options.threads), results }))
} else {
  const { pvqSearch, pvqDecode } = native.capabilities().kernels
  const millions = value => Math.round(value / 1e6).toString()
  console.log(
    formatTable(
      ['bits', 'D', 'K', 'L', 'lattice', 'error', 'design', 'differs', 'encode', 'decode', 'product'],
      results.map(r => [
        r.bits.toFixed(2),
        r.dimension.toString(),
        r.pulses.toString(),
        r.levels.toString(),
        r.lattice,
        r.error.toFixed(5),
        r.reference.toFixed(4),
        `${(100 * (r.error / r.reference - 1)).toFixed(2)} %`,
        millions(r.encode),
        millions(r.decode),
        millions(r.product),
      ]),
    ),
  )
  console.log(
    `${rows} x ${columns} weights, ${options.threads} thread(s), search ${pvqSearch}, decode ${pvqDecode}; speeds in million weights a second`,
  )
}
