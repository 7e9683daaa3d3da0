import assert from 'node:assert/strict'
import { RandomSource } from '../../dist/model/random-source.js'
import { Ranking } from '../../dist/model/ranking.js'
import { Sampler, type SamplingOptions } from '../../dist/model/sampler.js'
import { randomNormal } from './random-normal.js'
import { softmax } from './reference-llama.js'

const nothing = new Set<number>()

/** The distribution that the options leave, by sorting everything. */
function referenceDistribution(logits: Float32Array, options: SamplingOptions): number[] {
  const { temperature = 1, topK = logits.length, topP = 1, minP = 0 } = options
  const probabilities = softmax([...logits].map(logit => logit / temperature))
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b).slice(0, topK)
  const sum = order.reduce((total, id) => total + probabilities[id], 0)
  const kept: number[] = []
  let mass = 0
  for (const id of order) {
    if (kept.length > 0 && mass >= topP * sum) break
    if (probabilities[id] < minP * probabilities[order[0]]) break
    kept.push(id)
    mass += probabilities[id]
  }
  return probabilities.map((probability, id) => (kept.includes(id) ? probability / mass : 0))
}

describe('the sampler', () => {
  it('takes the likeliest token at temperature 0, the first of equals', () => {
    const logits = Float32Array.of(0.5, 3, -1, 3, 2)
    assert.equal(new Sampler().sample(logits, nothing), 1)
    assert.equal(new Sampler({ temperature: 0, topK: 3, seed: 5 }).sample(logits, nothing), 1)
  })

  for (const options of [
    {},
    { temperature: 0.6 },
    { topK: 1 },
    { topK: 4, temperature: 1.5 },
    { topP: 0.7 },
    { topP: 0.000001 },
    { minP: 0.2 },
    { minP: 1 },
    { topK: 6, topP: 0.8, minP: 0.05, temperature: 0.9 },
    { topK: 1000 },
  ]) {
    it(`draws from the distribution that ${JSON.stringify(options)} leaves`, () => {
      const seed = 21
      const logits = randomNormal(new RandomSource(seed), 19, 1.5)
      const expected = referenceDistribution(logits, options)
      const sampler = new Sampler({ temperature: 1, ...options, seed })
      const draws = 40_000
      const counts = new Array(logits.length).fill(0)
      for (let i = 0; i < draws; i++) counts[sampler.sample(logits.slice(), nothing)]++
      for (const [id, probability] of expected.entries()) {
        // Five standard deviations of a binomial count.
        const slack = 5 * Math.sqrt(draws * probability * (1 - probability)) + 1e-9
        const difference = Math.abs(counts[id] - draws * probability)
        assert.ok(difference <= slack, `token ${id}: ${counts[id]} of ${draws} draws, p = ${probability}, seed ${seed}`)
      }
    })
  }

  it('gives the same tokens for the same seed and others for another', () => {
    const draw = (seed: number) => {
      const sampler = new Sampler({ temperature: 1, topP: 0.95, seed })
      const random = new RandomSource(1)
      return Array.from({ length: 50 }, () => sampler.sample(randomNormal(random, 300), nothing))
    }
    assert.deepEqual(draw(3), draw(3))
    assert.notDeepEqual(draw(3), draw(4))
  })

  it('differs from run to run without a seed', () => {
    const draw = () => {
      const sampler = new Sampler({ temperature: 1 })
      return Array.from({ length: 40 }, () => sampler.sample(new Float32Array(1000), nothing)).join()
    }
    assert.notEqual(draw(), draw())
  })

  it('penalizes tokens seen before whatever the sign of their logit', () => {
    const sampler = new Sampler({ repetitionPenalty: 2 })
    assert.equal(sampler.sample(Float32Array.of(3, 2, 0), new Set([0])), 1)
    assert.equal(sampler.sample(Float32Array.of(-3, -2, -9), new Set([1])), 0)
    assert.equal(sampler.sample(Float32Array.of(3, 2, 0), nothing), 0)
  })

  it('draws from extreme logits without overflow', () => {
    const logits = Float32Array.of(-3e38, 3e38, 0)
    assert.equal(new Sampler({ temperature: 0.01, seed: 1 }).sample(logits, nothing), 1)
    assert.equal(new Sampler({ temperature: 1, topP: 0.99, seed: 1 }).sample(logits, nothing), 1)
  })
})

describe('the ranking', () => {
  it('orders by decreasing weight, ties by id, as far as it is asked', () => {
    const random = new RandomSource(31)
    for (const length of [1, 2, 3, 64, 101]) {
      const weights = Float64Array.from({ length }, () => Math.floor(random.next() * 20))
      const expected = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b)
      const ranking = new Ranking(weights)
      assert.equal(ranking.at(length >> 1), expected[length >> 1], `length ${length}, seed 31`)
      assert.deepEqual(
        expected.map((_, rank) => ranking.at(rank)),
        expected,
        `length ${length}, seed 31`,
      )
    }
  })
})

describe('the random source', () => {
  it('is uniform on [0, 1) and repeats with its seed', () => {
    const random = new RandomSource(42)
    const counts = new Array(16).fill(0)
    for (let i = 0; i < 64_000; i++) {
      const value = random.next()
      assert.ok(value >= 0 && value < 1)
      counts[Math.floor(value * 16)]++
    }
    // Chi-squared with 15 degrees of freedom exceeds 44 once in 10,000 seeds.
    const chiSquared = counts.reduce((sum, count) => sum + (count - 4000) ** 2 / 4000, 0)
    assert.ok(chiSquared < 44, `chi-squared ${chiSquared}`)
    assert.equal(new RandomSource(42).next(), new RandomSource(42).next())
  })
})
