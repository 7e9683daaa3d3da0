// Contestants, each in a process of its own, take turns: A B C, A B C, ... so that a change of the machine's speed meets all of
// them, and ratios are taken within a round.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median } from './timing.mjs'

const program = fileURLToPath(new URL('./contestant.mjs', import.meta.url))

export class Arena {
  #contestants = []

  /** Contestants that cannot start are named with their reason, and left out. */
  static async open(entries) {
    const arena = new Arena()
    for (const entry of entries) {
      const child = fork(program, { env: { ...process.env, ...entry.environment } })
      const { facts, error } = await ask(child, { module: entry.module, settings: entry.settings })
      if (error === undefined) arena.#contestants.push({ entry, child, facts })
      else {
        console.error(`left out: ${entry.name}: ${error}`)
        child.kill()
      }
    }
    return arena
  }

  /** A result for each contestant that does such work, the rates by round. */
  async compete(work, { rounds, seconds }) {
    const running = this.#contestants.filter(({ entry }) => entry.does(work))
    const results = running.map(({ entry, facts }) => ({ ...entry, ...facts, rates: [] }))
    for (let round = 0; round < rounds; round++) {
      for (const [i, { child }] of running.entries()) {
        const { rate, memory, error } = await ask(child, { work, seconds })
        if (error !== undefined) throw new Error(`${results[i].name}: ${error}`)
        results[i].rates.push(rate)
        results[i].memory = memory
      }
    }
    return results.map(result => ({ ...result, rate: median(result.rates) }))
  }

  close() {
    for (const { child } of this.#contestants) child.kill()
  }
}

/** The median over rounds of one's rate over the other's. */
export function ratioOf(one, other) {
  return median(one.rates.map((rate, round) => rate / other.rates[round]))
}

function ask(child, message) {
  return new Promise(resolve => {
    const ended = (code, signal) => resolve({ error: `its process ended with ${signal ?? `status ${code}`}` })
    child.once('exit', ended)
    child.once('message', answer => {
      child.off('exit', ended)
      resolve(answer)
    })
    child.send(message)
  })
}
