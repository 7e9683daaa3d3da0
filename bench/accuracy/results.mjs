// Finished cells in a JSON file, so that a run that was stopped goes on. A cell is found again by everything that decides its
// figures but the code itself: contents of the model and the texts, settings, windows, version of the package.
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

export class Results {
  #path
  #cells

  constructor(path) {
    this.#path = path
    this.#cells = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
  }

  find(identity) {
    return this.#cells[keyOf(identity)]
  }

  /** Kept on disk when this returns. */
  add(identity, figures) {
    this.#cells[keyOf(identity)] = { ...identity, ...figures }
    writeFileSync(`${this.#path}.new`, `${JSON.stringify(this.#cells, null, 2)}\n`)
    renameSync(`${this.#path}.new`, this.#path)
  }
}

/** Short, and the same for the same identity. */
export const keyOf = identity => createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16)

/** Of a file's contents, or of all files in a folder and their names. */
export async function contentHash(path) {
  const hash = createHash('sha256')
  if (!(await stat(path)).isDirectory()) {
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    return hash.digest('hex')
  }
  const files = (await readdir(path, { withFileTypes: true })).filter(entry => entry.isFile()).map(({ name }) => name)
  for (const name of files.sort()) hash.update(JSON.stringify([name, await contentHash(join(path, name))]))
  return hash.digest('hex')
}
