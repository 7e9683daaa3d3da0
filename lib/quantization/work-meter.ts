/** Progress over work of different kinds, counted in one unit, that is reported as it is done. */
import type { Progress } from '../worker/job.js'

export class WorkMeter {
  #done = 0

  constructor(
    private readonly total: number,
    private readonly report: (progress: Progress) => void,
  ) {}

  /** Counts work as done. */
  add(work: number, label: string): void {
    this.#done += work
    this.#report(this.#done, label)
  }

  /** Reports how far a piece of work is that {@link add} will count. */
  within(work: number, fraction: number, label: string): void {
    this.#report(this.#done + work * fraction, label)
  }

  /** Sums of parts may miss the total by a rounding error, but only the end is the end. */
  finish(label: string): void {
    this.#done = this.total
    this.report({ done: this.total, total: this.total, label })
  }

  #report(done: number, label: string): void {
    this.report({ done: Math.max(0, Math.min(Math.floor(done), this.total - 1)), total: this.total, label })
  }
}
