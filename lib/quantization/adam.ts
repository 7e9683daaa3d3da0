/** Adam (Kingma and Ba, 2015) on one vector, with a step size that its owner schedules. */
export class Adam {
  static readonly #meanDecay = 0.9
  static readonly #squareDecay = 0.99
  static readonly #epsilon = 1e-12
  readonly #means: Float64Array
  readonly #squares: Float64Array
  #steps = 0

  constructor(length: number) {
    this.#means = new Float64Array(length)
    this.#squares = new Float64Array(length)
  }

  /** The change that lowers the loss, of about `rate` an element; exactly 0 where no gradient was ever seen. */
  step(gradient: Float64Array, rate: number): Float64Array {
    this.#steps++
    const meanBias = 1 - Adam.#meanDecay ** this.#steps
    const squareBias = 1 - Adam.#squareDecay ** this.#steps
    return gradient.map((g, i) => {
      this.#means[i] += (1 - Adam.#meanDecay) * (g - this.#means[i])
      this.#squares[i] += (1 - Adam.#squareDecay) * (g * g - this.#squares[i])
      const deviation = Math.sqrt(this.#squares[i] / squareBias)
      return (-rate * this.#means[i]) / meanBias / (deviation + Adam.#epsilon)
    })
  }
}
