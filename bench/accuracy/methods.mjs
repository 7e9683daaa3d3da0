// What the accuracy benchmark compares: options of quantizeModel beside `bits`. `calibration: true` stands for the
// calibration text. A new method is a line here.

const nearest = { rounding: 'nearest' }
const lowRank = { rank: 'auto', lowRank: 'qera' }
const calibrated = { calibration: true }
const unpropagated = { advanced: { propagation: false } }
const barnesWall = { lattice: 'barnes-wall' }

/** Everything on. */
export const full = { ...calibrated, ...barnesWall, ...lowRank }

/** Measured at every rate: the equal-size controls from outside, then part after part. */
export const methods = [
  { name: 'integer rounding', settings: { quantizer: 'integer' } },
  { name: 'MXINT', settings: { quantizer: 'mxint' } },
  { name: 'PVQ, nearest', settings: nearest },
  { name: 'PVQ, nearest, low rank', settings: { ...calibrated, ...nearest, ...lowRank, ...unpropagated } },
  { name: 'PVQ, guided', settings: { ...calibrated, ...unpropagated } },
  { name: 'PVQ, guided, low rank', settings: { ...calibrated, ...lowRank, ...unpropagated } },
  { name: 'PVQ, guided, propagation', settings: calibrated },
  { name: 'PVQ, guided, propagation, Barnes-Wall', settings: { ...calibrated, ...barnesWall } },
  { name: 'full', settings: full },
]

/** `full` with one part off. */
export const ablations = [
  { name: 'without rotation', settings: { ...full, advanced: { rotation: false } } },
  { name: 'without the Barnes-Wall lattice', settings: { ...full, lattice: 'integer' } },
  { name: 'without error feedback', settings: { ...full, advanced: { feedback: false } } },
  { name: 'without coordinate descent', settings: { ...full, advanced: { sweeps: 0 } } },
  { name: 'without either', settings: { ...full, advanced: { feedback: false, sweeps: 0 } } },
  { name: 'without column order', settings: { ...full, advanced: { ordered: false } } },
  { name: 'without guided search', settings: { ...full, advanced: { moves: 0 } } },
  { name: 'without propagation', settings: { ...full, ...unpropagated } },
  { name: 'without guided rounding', settings: { ...full, ...nearest } },
  { name: 'without low rank', settings: { ...calibrated, ...barnesWall } },
]

export const rates = [2, 2.5, 3, 3.25, 4]
export const ablationRates = [3]
