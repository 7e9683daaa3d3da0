import assert from 'node:assert/strict'
import { activationsOption } from '../../dist/cli/terminal.js'

describe('--activations', () => {
  it('names a format, or a PVQ rate or code', () => {
    assert.equal(activationsOption('float'), 'float')
    assert.equal(activationsOption('mxint6'), 'mxint6')
    assert.deepEqual(activationsOption('pvq:4.5'), { bits: 4.5 })
    assert.deepEqual(activationsOption('pvq:16,49,14'), { dimension: 16, pulses: 49, levels: 14 })
    for (const wrong of ['', 'int4', 'pvq', 'pvq:', 'pvq:0', 'pvq:16,49', 'pvq:16,49,14,2', 'pvq:16,,14']) {
      assert.throws(() => activationsOption(wrong), { code: 'commander.invalidArgument' }, wrong)
    }
  })
})
