// How long the event loop went without a turn while something ran, in milliseconds.
export async function longestPause(work: () => Promise<unknown>): Promise<{ pause: number; elapsed: number }> {
  const started = performance.now()
  let last = started
  let pause = 0
  const tick = () => {
    const now = performance.now()
    pause = Math.max(pause, now - last)
    last = now
  }
  const timer = setInterval(tick, 1)
  try {
    await work()
    tick()
    return { pause, elapsed: performance.now() - started }
  } finally {
    clearInterval(timer)
  }
}
