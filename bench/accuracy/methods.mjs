// What the accuracy benchmark compares: options of quantizeModel beside `bits`. `calibration: true` stands for the
// calibration text. A new method is a line here.

const integers = { lattice: 'integer' }
const nearest = { rounding: 'nearest' }
const lowRank = { rank: 'auto', lowRank: 'qera' }
const calibrated = { calibration: true }
const barnesWall = { lattice: 'barnes-wall' }

/** What calibration does beside guided rounding; all on by default. */
const without = (...parts) => ({ advanced: Object.fromEntries(parts.map(part => [part, false])) })
const guidedOnly = without('propagation', 'sensitivity', 'allocation')

/** Everything on. */
export const full = { ...calibrated, ...barnesWall, ...lowRank }

/** Measured at every rate: the equal-size controls from outside, then part after part. */
export const methods = [
  { name: 'integer rounding', settings: { quantizer: 'integer' } },
  { name: 'MXINT', settings: { quantizer: 'mxint' } },
  { name: 'PVQ, nearest', settings: { ...integers, ...nearest } },
  { name: 'PVQ, nearest, low rank', settings: { ...calibrated, ...integers, ...nearest, ...lowRank, ...guidedOnly } },
  { name: 'PVQ, guided', settings: { ...calibrated, ...integers, ...guidedOnly } },
  { name: 'PVQ, guided, low rank', settings: { ...calibrated, ...integers, ...lowRank, ...guidedOnly } },
  { name: '+ propagation', settings: { ...calibrated, ...integers, ...without('sensitivity', 'allocation') } },
  { name: '+ sensitivity', settings: { ...calibrated, ...integers, ...without('allocation') } },
  { name: '+ allocation', settings: { ...calibrated, ...integers } },
  { name: '+ Barnes-Wall lattice', settings: { ...calibrated, ...barnesWall } },
  { name: 'full: + low rank', settings: full },
]

/** `full` with one part off, or with recovery, which is off by default. */
export const ablations = [
  { name: 'without rotation', settings: { ...full, ...without('rotation') } },
  { name: 'without the Barnes-Wall lattice', settings: { ...full, lattice: 'integer' } },
  { name: 'without error feedback', settings: { ...full, ...without('feedback') } },
  { name: 'without coordinate descent', settings: { ...full, advanced: { sweeps: 0 } } },
  { name: 'without either', settings: { ...full, advanced: { feedback: false, sweeps: 0 } } },
  { name: 'without column order', settings: { ...full, ...without('ordered') } },
  { name: 'without guided search', settings: { ...full, advanced: { moves: 0 } } },
  { name: 'without guided rounding', settings: { ...full, ...nearest } },
  { name: 'without propagation', settings: { ...full, ...without('propagation') } },
  { name: 'without Fisher mix', settings: { ...full, ...without('fisherMix') } },
  { name: 'without output coupling', settings: { ...full, ...without('outputCoupling') } },
  { name: 'without allocation', settings: { ...full, ...without('allocation') } },
  { name: 'without low rank', settings: { ...calibrated, ...barnesWall } },
  { name: 'with recovery, 32 steps', settings: { ...full, recovery: 32 } },
]

/** One model, with what its linear layers take rounded to each format of `activations`. */
export const inputs = {
  name: 'inputs',
  bits: 4,
  settings: { ...calibrated, ...integers, ...guidedOnly },
  activations: ['float', 'int8', 'mxint8', 'mxint6', 'mxint4', { bits: 8 }, { bits: 6 }, { bits: 4 }],
}

export const rates = [2, 2.5, 3, 3.25, 4]
export const ablationRates = [3]
