// The pilot that the design began with, repeated with this library: simulated rounding of SmolLM2-135M as shipped, 64 windows of
// 512 tokens of WikiText-2's valid split, groups of 16 (of 8 at 2.5 bits without guided search), every linear layer at the same
// rate unless it says otherwise. Row scales, 0.02 bits, are left out of the pilot's rates and counted in ours.

const common = { calibration: true, calibrationTokens: 64 * 512, lattice: 'integer' }
const parts = { propagation: false, sensitivity: false, allocation: false, outputCoupling: false, sweeps: 0 }
const row = (name, bits, divergence, advanced, rest = {}) => ({
  name: `pilot: ${name}`,
  bits,
  divergence,
  settings: { ...common, ...rest, advanced: { ...parts, ...advanced } },
})
const withoutSearch = { moves: 0 }
const mix = { sensitivity: true }

export const pilot = {
  model: /^SmolLM2-135M/,
  rows: [
    row('feedback, given order', 3, 0.189, { ...withoutSearch, ordered: false }),
    row('+ columns by decreasing diagonal', 3, 0.18, withoutSearch),
    row('+ guided search', 3, 0.169),
    row('feedback, ordered', 2.5, 0.411, withoutSearch),
    row('feedback, ordered', 3.25, 0.126, withoutSearch),
    row('feedback, ordered', 4, 0.042, withoutSearch),
    row('guided', 2, 0.758),
    row('guided', 2.5, 0.358),
    row('guided, propagation', 3, 0.148, { propagation: true }),
    row('guided, Fisher mix', 3, 0.154, mix),
    row('guided, Fisher mix, allocation', 3, 0.134, { ...mix, allocation: true }),
    row('guided, Fisher mix, allocation, propagation', 3, 0.139, { ...mix, allocation: true, propagation: true }),
    row('feedback, ordered, Barnes-Wall', 3, 0.171, withoutSearch, { lattice: 'barnes-wall' }),
  ],
}
