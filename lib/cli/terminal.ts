// What the commands share on a terminal: option parsers, a progress bar that is silent in a pipe, and tables.
import { readFile } from 'node:fs/promises'
import { SingleBar } from 'cli-progress'
import { InvalidArgumentError } from 'commander'
import { checkDevice, type DeviceChoice } from '../device.js'
import { PyramidionError } from '../errors.js'
import { type Activations, checkActivations } from '../linear/activations.js'
import { checkLayout, type Layout } from '../linear/layout.js'
import { checkKeyValueFormat } from '../model/key-value-cache.js'
import type { KeyValueFormat } from '../native.js'

/** A commander parser for a number within [minimum, maximum]. */
export function numberOption(minimum: number, maximum: number) {
  return (text: string): number => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= minimum && value <= maximum)) {
      throw new InvalidArgumentError(`must be a number from ${minimum} to ${maximum}.`)
    }
    return value
  }
}

/** A commander parser for a whole number within [minimum, maximum]. */
export function integerOption(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  const parse = numberOption(minimum, maximum)
  return (text: string): number => {
    const value = parse(text)
    if (!Number.isInteger(value)) throw new InvalidArgumentError('must be a whole number.')
    return value
  }
}

/** A commander parser for {@link Activations}: float, int8, mxint8, ..., pvq:BITS or pvq:D,K,L. */
export function activationsOption(text: string): Activations {
  const [code, first, pulses, levels] = /^pvq:([\d.]+)(?:,(\d+),(\d+))?$/.exec(text) ?? []
  const pvq =
    pulses === undefined
      ? { bits: Number(first) }
      : { dimension: Number(first), pulses: Number(pulses), levels: Number(levels) }
  return checked(code === undefined ? (text as Activations) : pvq, checkActivations)
}

/** A commander parser for {@link Layout}. */
export const layoutOption = (text: string) => checked(text as Layout, checkLayout)

/** A commander parser for {@link KeyValueFormat}. */
export const keyValueOption = (text: string) => checked(text as KeyValueFormat, checkKeyValueFormat)

/** A commander parser for {@link DeviceChoice}. */
export const deviceOption = (text: string) => checked(text as DeviceChoice, checkDevice)

/** The value, once the library's own check has let it pass; what that throws becomes commander's message. */
function checked<T>(value: T, check: (value: T) => void): T {
  try {
    check(value)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  return value
}

export const deviceHelp = 'where to compute: cpu, cuda, or auto for a GPU where one can be used'

/** Warnings go to standard error, whatever else is printed. */
export function printWarning(message: string): void {
  process.stderr.write(`warning: ${message}\n`)
}

/** Reads a text file; errors name the option it came from. */
export async function readText(path: string, option: string): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new PyramidionError('FILE_NOT_FOUND', `${option} ${path}: ${(cause as Error).message}`, { cause })
  }
  if (text.trim() === '') throw new PyramidionError('EMPTY', `${option} ${path} holds no text`)
  return text
}

/** What long work reports: how much is done, of how much, and what it is at. */
export interface Progress {
  done: number
  total: number
  label?: string
}

/** A progress bar on standard error, drawn only where a person looks at it. */
export class ProgressBar {
  private readonly bar: SingleBar | undefined
  private started = false

  constructor(quiet: boolean) {
    if (quiet || !process.stderr.isTTY) return
    this.bar = new SingleBar({
      format: '{bar} {percentage}% {label} {eta_formatted}',
      barsize: 30,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
    })
  }

  readonly update = ({ done, total, label = '' }: Progress): void => {
    if (this.bar === undefined) return
    if (!this.started) {
      this.bar.start(total, done, { label })
      this.started = true
    }
    this.bar.setTotal(total)
    this.bar.update(done, { label })
  }

  stop(): void {
    if (this.started) this.bar?.stop()
  }
}

/** Runs work with a progress bar that is taken away however the work ends. */
export async function withProgress<T>(quiet: boolean, work: (update: (progress: Progress) => void) => Promise<T>) {
  const bar = new ProgressBar(quiet)
  try {
    return await work(bar.update)
  } finally {
    bar.stop()
  }
}

/** One object for machines. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`)
}

/** Columns padded to their widest cell: the first to the left, numbers to the right. */
export function formatTable(header: string[], rows: string[][]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column].length)))
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd()
  return [line(header), widths.map(width => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
