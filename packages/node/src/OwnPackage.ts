/**
 * This package as it is installed, whether its sources run or what was bundled of them.
 */
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"

const ask = createRequire(import.meta.url)
const manifest = "@evenkeel/node/package.json"

/** The version in its `package.json`. */
export const version = (): string => (ask(manifest) as { readonly version: string }).version

/** Where one of its files is. */
export const fileAt = (path: string): URL => new URL(path, pathToFileURL(ask.resolve(manifest)))
