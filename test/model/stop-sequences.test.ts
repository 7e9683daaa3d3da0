import assert from 'node:assert/strict'
import { StopSequences } from '../../dist/model/stop-sequences.js'

/** What comes out for these pieces, and whether a stop string was met. */
function run(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const sequences = new StopSequences(stops)
  let text = ''
  for (const piece of pieces) {
    text += sequences.push(piece)
    if (sequences.stopped) return { text, stopped: true }
  }
  return { text: text + sequences.end(), stopped: false }
}

describe('stop sequences', () => {
  it('end the text before the first stop string, however it is cut into pieces', () => {
    const text = 'one two END three'
    for (let cut = 0; cut <= text.length; cut++) {
      for (let second = cut; second <= text.length; second++) {
        const pieces = [text.slice(0, cut), text.slice(cut, second), text.slice(second)]
        assert.deepEqual(run(['END'], pieces), { text: 'one two ', stopped: true }, pieces.join('|'))
      }
    }
  })

  it('give back what only looked like a stop string', () => {
    assert.deepEqual(run(['###'], ['a#', '#b', '##']), { text: 'a##b##', stopped: false })
    assert.deepEqual(run(['aab'], ['a', 'a', 'a', 'b', 'c']), { text: 'a', stopped: true })
  })

  it('take the earliest of several', () => {
    assert.deepEqual(run(['long stop', 'stop'], ['a long st', 'op']), { text: 'a ', stopped: true })
  })

  it('hold nothing back that cannot become a stop string', () => {
    const sequences = new StopSequences(['\n\n'])
    assert.equal(sequences.push('line'), 'line')
    assert.equal(sequences.push('\n'), '')
    assert.equal(sequences.push('next'), '\nnext')
  })

  it('change nothing where there are none', () => {
    assert.deepEqual(run([], ['a', 'b']), { text: 'ab', stopped: false })
  })
})
