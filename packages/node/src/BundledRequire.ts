/**
 * A `require` for undici in a bundle. esbuild leaves it `require("node:net")` and its like, which a bundle that is a module
 * does not have. Only bundlers come here, by their condition `module` in package.json.
 */
import { createRequire } from "node:module"

if (!("require" in globalThis)) {
  Object.defineProperty(globalThis, "require", { value: createRequire(process.argv[1] ?? process.execPath) })
}
