/**
 * The version of this package.
 */
import { createRequire } from "node:module"

/** As its `package.json` has it. */
export const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string }
