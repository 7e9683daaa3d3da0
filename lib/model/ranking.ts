/** Token ids by decreasing weight, sorted only as far as asked for: a heap sort that stops early. */
export class Ranking {
  readonly #weights: Float64Array
  /** A heap in front, heaviest first; behind it, from the end backwards, the ids taken off so far. */
  readonly #ids: Int32Array
  #taken = 0

  constructor(weights: Float64Array) {
    this.#weights = weights
    this.#ids = Int32Array.from(weights.keys())
    for (let i = (weights.length >> 1) - 1; i >= 0; i--) this.#siftDown(i, weights.length)
  }

  /** The id at `rank`, 0 being the heaviest; the lower id comes first among equals. */
  at(rank: number): number {
    const ids = this.#ids
    while (this.#taken <= rank) {
      const last = ids.length - 1 - this.#taken++
      const heaviest = ids[0]
      ids[0] = ids[last]
      ids[last] = heaviest
      this.#siftDown(0, last)
    }
    return ids[ids.length - 1 - rank]
  }

  #siftDown(start: number, length: number): void {
    const ids = this.#ids
    const moving = ids[start]
    let hole = start
    for (;;) {
      let child = 2 * hole + 1
      if (child >= length) break
      if (child + 1 < length && this.#before(ids[child + 1], ids[child])) child++
      if (!this.#before(ids[child], moving)) break
      ids[hole] = ids[child]
      hole = child
    }
    ids[hole] = moving
  }

  #before(a: number, b: number): boolean {
    const difference = this.#weights[a] - this.#weights[b]
    return difference > 0 || (difference === 0 && a < b)
  }
}
