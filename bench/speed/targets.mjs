// The comparisons that have names, with which of ours and of the peers count. Two threads, weights cold.
const anyPeer = () => true

export const targets = [
  {
    name: 'token-compact',
    group: 'layers',
    tokens: 1,
    own: ({ layout, bits }) => layout === 'compact' && bits <= 3.1,
    peer: ({ type }) => type === 'IQ3_XXS',
  },
  {
    name: 'token-split',
    group: 'layers',
    tokens: 1,
    own: ({ bits }) => bits <= 3.5,
    peer: ({ type }) => type === 'IQ3_S' || type === 'Q3_K',
  },
  { name: 'token-any', group: 'layers', tokens: 1, own: () => true, peer: anyPeer },
  { name: 'tokens-8', group: 'layers', tokens: 8, own: () => true, peer: anyPeer },
  { name: 'tokens-64', group: 'layers', tokens: 64, own: () => true, peer: anyPeer },
  { name: 'tokens-512', group: 'layers', tokens: 512, own: () => true, peer: anyPeer },
  { name: 'encode-plain', group: 'encode-plain', own: () => true, peer: anyPeer },
  // As quantizeModel rounds by default, not by error feedback alone.
  { name: 'encode-calibrated', group: 'encode-calibrated', own: ({ settings }) => settings.sweeps > 0, peer: anyPeer },
  { name: 'smollm2-decode', group: 'given-model', phase: 'decode', own: () => true, peer: anyPeer },
  { name: 'smollm2-prompt', group: 'given-model', phase: 'prompt', own: () => true, peer: anyPeer },
]

/** The comparison of `all` that a target speaks of. */
export function comparisonOf(target, all) {
  return all.find(
    ({ group, work, target: marked }) =>
      marked &&
      group === target.group &&
      (target.tokens === undefined || work.tokens === target.tokens) &&
      (target.phase === undefined || work.phase === target.phase),
  )
}

export const layoutOf = result => result.layout ?? result.settings.layout
