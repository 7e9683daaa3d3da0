// How long something takes, by Benchmark.js: as many runs as it takes for a time that the clock can tell, several times over.
import Benchmark from 'benchmark'

/** Seconds of one run of `action`, the median of samples taken for about `seconds`; it may return a promise. */
export function secondsPerRun(action, seconds) {
  return new Promise((resolve, reject) => {
    const waits = action.constructor.name === 'AsyncFunction'
    const run = waits ? deferred => action().then(() => deferred.resolve(), fail) : action
    const benchmark = new Benchmark(run, {
      defer: waits,
      async: true,
      minSamples: 1,
      maxTime: seconds,
      onComplete: () => (benchmark.error ? reject(benchmark.error) : resolve(median(benchmark.stats.sample))),
    })
    function fail(error) {
      benchmark.abort()
      reject(error)
    }
    benchmark.run()
  })
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
