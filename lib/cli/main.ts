#!/usr/bin/env node
// The command line: `pyramidion quantize | evaluate | generate | inspect`. Every command is a thin layer over an
// exported function. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
import { Command, CommanderError } from 'commander'
import { PyramidionError } from '../errors.js'
import { packageVersion } from '../package-version.js'
import { evaluateCommand } from './evaluate.js'
import { generateCommand } from './generate.js'
import { inspectCommand } from './inspect.js'
import { quantizeCommand } from './quantize.js'

const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // The first signal asks the work to stop and clean up; the second one, unhandled, ends the process at once.
  process.once(name, () => interrupt.abort(new PyramidionError('ABORTED', `stopped by ${name}`)))
}

const program = new Command('pyramidion')
  .description('Quantize language models with pyramid vector quantization, run them and measure what it cost.')
  .version(packageVersion)
  .addHelpText(
    'after',
    `
MODEL and SOURCE are a Hugging Face folder, a GGUF file, or a folder written by quantize.

Examples:
  $ pyramidion quantize models/tales --output tales-3.25 --bits 3.25
  $ pyramidion evaluate tales-3.25 --text held-out.txt --reference models/tales
  $ pyramidion generate tales-3.25 "Once upon a time"
  $ pyramidion inspect tales-3.25`,
  )
  .showHelpAfterError('(--help explains the options)')
  .exitOverride()

for (const build of [quantizeCommand, evaluateCommand, generateCommand, inspectCommand]) {
  program.addCommand(build(interrupt.signal).copyInheritedSettings(program))
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed its message; --help and --version end with exit code 0.
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    const known = error instanceof PyramidionError
    const code = known ? error.code : 'INTERNAL'
    const message = error instanceof Error ? error.message : String(error)
    if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
    process.stderr.write(`error ${code}: ${message}\n`)
    if (!known && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    process.exitCode = interrupt.signal.aborted ? 130 : code === 'INVALID_ARGUMENT' ? 2 : 1
  }
}
