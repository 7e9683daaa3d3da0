import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PyramidionError } from './errors.js'
import type { NativeAddon } from './native/addon.js'

export type * from './native/addon.js'
export type * from './native/capabilities.js'
export type * from './native/encoding.js'
export type * from './native/linear.js'
export type * from './native/model.js'
export type * from './native/statistics.js'
export type * from './native/weights.js'

/** Finds the addon: a local build first, then the prebuilt package of this platform. */
function load(): NativeAddon {
  const require = createRequire(import.meta.url)
  const root = join(dirname(fileURLToPath(import.meta.url)), '..')
  const platform = `${process.platform}-${process.arch}`
  const candidates = [
    process.env.PYRAMIDION_ADDON,
    join(root, 'build', 'Release', 'pyramidion.node'),
    `@pyramidion/${platform}/pyramidion.node`,
  ].filter(path => path !== undefined)
  const failures: string[] = []
  for (const path of candidates) {
    try {
      const addon = require(path) as NativeAddon
      addon.setErrorClass(PyramidionError)
      return addon
    } catch (error) {
      failures.push(`  ${path}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new PyramidionError(
    'NATIVE_UNAVAILABLE',
    `the native addon could not be loaded on ${platform}, Node ${process.versions.node}. Build it with: npm --prefix ${root} run build:native\n${failures.join('\n')}`,
  )
}

/** The addon, loaded when this module is first imported. This is the only file that knows where it lives. */
export const native: NativeAddon = load()
