// Cold weights: as many copies of a layer as it takes for one to have left the last-level cache when its turn comes again.
import { readdirSync, readFileSync } from 'node:fs'

const folder = '/sys/devices/system/cpu/cpu0/cache'
const UNKNOWN = 64 * 2 ** 20

/** Bytes of the last-level cache as the system tells, or a guess on the large side. */
export function lastLevelCache() {
  try {
    const sizes = readdirSync(folder)
      .filter(name => name.startsWith('index'))
      .map(name => /^(\d+)K/.exec(readFileSync(`${folder}/${name}/size`, 'utf8')))
    return Math.max(...sizes.map(match => Number(match?.[1] ?? 0) * 1024)) || UNKNOWN
  } catch {
    return UNKNOWN
  }
}

/** Copies that together are twice the cache, one more than that, and at least two. */
export function coldCopies(bytes) {
  return Math.max(2, Math.ceil((2 * lastLevelCache()) / bytes) + 1)
}

/** The one to use next: always the first when warm, each in turn when cold. */
export function rotating(copies, cold) {
  let turn = 0
  return () => copies[cold ? turn++ % copies.length : 0]
}
