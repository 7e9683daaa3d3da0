// The machine-readable result: for each target a row for each peer, the best peer last.
import { ratioOf } from './arena.mjs'
import { comparisonOf, layoutOf, targets } from './targets.mjs'

/** Rates are weight multiplications, encoded weights or tokens a second. Without a peer there is one row, its peer null. */
export function targetRows(comparisons, only) {
  return targets
    .filter(({ name, group }) => [undefined, 'targets', name, group].includes(only))
    .flatMap(target => {
      const comparison = comparisonOf(target, comparisons)
      if (comparison === undefined) return []
      const { results, work, threads } = comparison
      const own = best(results.filter(result => result.own && target.own(result)))
      if (own === undefined) return []
      const row = {
        name: target.name,
        layout: layoutOf(own) ?? null,
        bitsInMemory: own.bits ?? null,
        tokens: work.tokens ?? null,
        threads,
        rate: own.rate,
      }
      const peers = results.filter(result => !result.own && target.peer(result)).sort((a, b) => a.rate - b.rate)
      if (peers.length === 0) return [{ ...row, peer: null, peerRate: null, ratio: null }]
      return peers.map(peer => ({ ...row, peer: peer.name, peerRate: peer.rate, ratio: ratioOf(own, peer) }))
    })
}

function best(results) {
  return results.reduce((one, other) => (one === undefined || other.rate > one.rate ? other : one), undefined)
}
