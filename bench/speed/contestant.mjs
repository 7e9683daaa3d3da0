// A contestant in a process of its own, so that its memory and threads are its own. Started by arena.mjs, which tells it what it
// is ({ module, settings }) and then, again and again, what to do for how long ({ work, seconds }); it answers with rates.
import { secondsPerRun } from './timing.mjs'

let contestant
process.on('message', async message => {
  try {
    process.send(await answer(message))
  } catch (error) {
    process.send({ error: error?.message ?? String(error) })
  }
})

async function answer({ module, settings, work, seconds }) {
  if (module !== undefined) {
    const { prepare } = await import(`./contestants/${module}.mjs`)
    contestant = await prepare(settings)
    const { action, ...facts } = contestant
    return { facts }
  }
  // { run, units }: units of work in a run, weight multiplications or tokens.
  const { run, units } = await contestant.action(work)
  const rate = units / (await secondsPerRun(run, seconds))
  return { rate, memory: process.memoryUsage.rss() }
}
