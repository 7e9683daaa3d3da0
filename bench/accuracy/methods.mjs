// What the accuracy benchmark compares: options of quantizeModel beside `bits`. `calibration: true` stands for the
// calibration text. A new method is a line here.

const calibrated = { calibration: true }

/** Everything on. */
export const full = { ...calibrated, rank: 'auto', lowRank: 'qera' }

/** Measured at every rate. The first two are the equal-size controls from outside. */
export const methods = [
  { name: 'integer rounding', settings: { quantizer: 'integer' } },
  { name: 'MXINT', settings: { quantizer: 'mxint' } },
  { name: 'PVQ, nearest', settings: { rounding: 'nearest' } },
  {
    name: 'PVQ, nearest, low rank',
    settings: { ...calibrated, rounding: 'nearest', rank: 'auto', lowRank: 'qera' },
  },
  { name: 'PVQ, guided', settings: calibrated },
  { name: 'PVQ, guided, Barnes-Wall', settings: { ...calibrated, lattice: 'barnes-wall' } },
  { name: 'full', settings: full },
]

/** `full` with one part off. */
export const ablations = [
  { name: 'without rotation', settings: { ...full, advanced: { rotation: false } } },
  { name: 'without error feedback', settings: { ...full, advanced: { feedback: false } } },
  { name: 'without coordinate descent', settings: { ...full, advanced: { sweeps: 0 } } },
  { name: 'without either', settings: { ...full, advanced: { feedback: false, sweeps: 0 } } },
  { name: 'without column order', settings: { ...full, advanced: { ordered: false } } },
  { name: 'without guided search', settings: { ...full, advanced: { moves: 0 } } },
  { name: 'without propagation', settings: { ...full, advanced: { propagation: false } } },
  { name: 'without guided rounding', settings: { ...full, rounding: 'nearest' } },
  { name: 'without low rank', settings: { ...full, rank: 0, lowRank: 'lqer' } },
]

export const rates = [2, 2.5, 3, 3.25, 4]
export const ablationRates = [3]
