// All comparisons of a run, one group of contestants after another: { group, threads, rows, columns, work, target, results }.
import { Arena } from './arena.mjs'
import { encoders, givenModel, llamaLayers, onnxruntimeLayers, ownLayers, randomModels } from './contestants.mjs'
import { targets } from './targets.mjs'

const tokenCounts = [1, 8, 64, 512]
const shapes = [
  { rows: 4096, columns: 4096 },
  { rows: 14336, columns: 4096 },
]
/** Where the targets are. */
const targetShape = shapes[1]
const targetThreads = 2

export async function runComparisons({ only, model, peers, rounds, seconds }) {
  const target = targets.find(({ name }) => name === only)
  const group = target?.group ?? (only === 'targets' ? undefined : only)
  const comparisons = []
  for (const part of [...layerParts(only, target, peers), ...modelParts(target, model, peers), ...encodeParts(peers)]) {
    if (group !== undefined && group !== part.group) continue
    const { entries, works, ...about } = part
    const arena = await Arena.open(await entries())
    try {
      for (const work of works) {
        const results = await arena.compete(work, { rounds, seconds })
        if (results.length > 0) comparisons.push({ ...about, work, target: part.target(work), results })
        console.error(`done: ${part.group}, ${JSON.stringify({ ...part.shape, threads: part.threads, ...work })}`)
      }
    } finally {
      arena.close()
    }
  }
  return comparisons
}

function layerParts(only, target, peers) {
  const targetsAlone = target !== undefined || only === 'targets'
  const wanted = targetsAlone
    ? [{ ...targetShape, threads: targetThreads }]
    : shapes.flatMap(shape => [1, 2].map(threads => ({ ...shape, threads })))
  const counts = target === undefined ? tokenCounts : [target.tokens]
  return wanted.map(({ rows, columns, threads }) => {
    const isTarget = rows === targetShape.rows && threads === targetThreads
    return {
      group: 'layers',
      rows,
      columns,
      threads,
      target: ({ cold }) => isTarget && cold,
      entries: async () => [
        ...ownLayers(rows, columns, threads),
        ...(peers ? onnxruntimeLayers(rows, columns, threads) : []),
        ...(peers && isTarget ? await llamaLayers(threads) : []),
      ],
      works: (targetsAlone ? [true] : [true, false]).flatMap(cold =>
        counts.map(tokens => ({ phase: 'layer', tokens, cold })),
      ),
    }
  })
}

function modelParts(target, model, peers) {
  const part = (group, entries, promptTokens) => ({
    group,
    threads: targetThreads,
    target: () => true,
    entries,
    works: [
      { phase: 'decode', tokens: 16 },
      { phase: 'prompt', tokens: promptTokens },
    ].filter(({ phase }) => target?.phase === undefined || phase === target.phase),
  })
  return [
    part('random-models', () => randomModels(targetThreads, peers), 64),
    ...(model === undefined ? [] : [part('given-model', () => givenModel(model, targetThreads, peers), 256)]),
  ]
}

function encodeParts(peers) {
  return [false, true].map(calibrated => ({
    group: calibrated ? 'encode-calibrated' : 'encode-plain',
    threads: 1,
    target: () => true,
    entries: async () => encoders(calibrated, peers),
    works: [{ phase: 'encode' }],
  }))
}
