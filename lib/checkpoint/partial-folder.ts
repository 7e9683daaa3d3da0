/**
 * The folder in which a checkpoint is made: a journal with the run's fingerprint, and a safetensors file for each finished
 * weight. See checkpoint-writer.ts.
 */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { PyramidionError } from '../errors.js'
import { BinaryFile } from './binary-file.js'
import { writeFileDurably } from './durable-write.js'
import { parseJsonObject, readText } from './json-file.js'
import type { TensorInfo } from './model-source.js'
import { readSafetensorsHeader } from './safetensors-header.js'

const journalName = 'journal.json'
const groupFolder = 'weights'

/** One finished weight: its tensors in a file of the partial folder. */
export interface Group {
  path: string
  tensors: TensorInfo[]
  /** The quantized weight's metadata entry as JSON; absent for plain tensors. */
  entry?: string
  note: unknown
}

/** The file of a finished weight. */
export function groupPath(partial: string, name: string): string {
  return join(partial, groupFolder, `${encodeURIComponent(name)}.safetensors`)
}

/** Makes the partial folder, or takes over what a run of the same fingerprint left in it. */
export async function preparePartial(partial: string, fingerprint: string): Promise<void> {
  const journalPath = join(partial, journalName)
  const journal = await readText(journalPath, true)
  if (journal !== undefined && isJournalOf(journal, fingerprint)) return
  const names = await readdir(partial).catch((error): string[] => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  // A folder of this name without a journal is not ours to remove; one that we were just making is empty.
  if (journal === undefined && names.some(name => !name.startsWith(journalName) && name !== groupFolder))
    throw new PyramidionError('OUTPUT_EXISTS', `${partial} exists and was not written by this library; remove it first`)
  await rm(partial, { recursive: true, force: true })
  await mkdir(join(partial, groupFolder), { recursive: true })
  const text = new TextEncoder().encode(JSON.stringify({ version: 1, fingerprint }))
  await writeFileDurably(`${journalPath}.new`, [text])
  await rename(`${journalPath}.new`, journalPath)
}

function isJournalOf(text: string, fingerprint: string): boolean {
  try {
    const journal = parseJsonObject(text, journalName)
    return journal.version === 1 && journal.fingerprint === fingerprint
  } catch {
    return false
  }
}

/** The finished weights of an interrupted run; a file that does not read back is removed and its weight done again. */
export async function readGroups(partial: string): Promise<Map<string, Group>> {
  const groups = new Map<string, Group>()
  const folder = join(partial, groupFolder)
  await mkdir(folder, { recursive: true })
  for (const fileName of (await readdir(folder)).sort()) {
    const path = join(folder, fileName)
    const group = fileName.endsWith('.safetensors') ? await readGroup(path).catch(() => undefined) : undefined
    if (group) groups.set(group.name, group)
    else await rm(path)
  }
  return groups
}

async function readGroup(path: string): Promise<Group & { name: string }> {
  const file = await BinaryFile.open(path)
  try {
    const { tensors, metadata } = await readSafetensorsHeader(file)
    const [name, note, entry] = ['name', 'note', 'entry'].map(key => metadata.get(key))
    if (name === undefined || basename(path) !== basename(groupPath('', name)))
      throw new PyramidionError('INVALID_FILE', `${path}: is not a weight of this run`)
    const infos = tensors.map(({ position, ...info }) => info)
    return { name, path, tensors: infos, ...(entry === undefined ? {} : { entry }), note: JSON.parse(note ?? 'null') }
  } finally {
    await file.close()
  }
}

/** The bytes of one tensor of a finished weight. */
export async function readSpooled(path: string, name: string): Promise<Uint8Array> {
  const file = await BinaryFile.open(path)
  try {
    const tensor = (await readSafetensorsHeader(file)).tensors.find(candidate => candidate.name === name)
    if (!tensor) throw new PyramidionError('INVALID_FILE', `${path}: has no tensor ${name}`)
    return await file.read(tensor.position, tensor.bytes)
  } finally {
    await file.close()
  }
}
