/**
 * Writes each package's `dist/*.js`: one file for each of its doors, besides what they share.
 *
 * Node takes half a millisecond for each file that it loads, and as much again to find what a file imports: bundled,
 * `@evenkeel/node` loads a fifth faster. Packages stay imports, so that a program has one copy of Effect and of `openai`.
 */
import { readdir, readFile, rm } from "node:fs/promises"
import { isAbsolute } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const packages = new URL("../packages/", import.meta.url)

/** The doors of a package, wherever its manifest names one: `index` for `./dist/index.js`. */
const doorsOf = (manifest: string): ReadonlyArray<string> =>
  Array.from(manifest.matchAll(/"\.\/dist\/([^"*]*)\.js"/g), ([, door]) => door!)

const bundle = async (folder: URL): Promise<void> => {
  const doors = doorsOf(await readFile(new URL("package.json", folder), "utf8"))
  // types are the compiler's
  const stale = (await readdir(new URL("dist/", folder), { recursive: true })).filter((name) =>
    /\.js(?:\.map)?$/.test(name)
  )
  await Promise.all(stale.map((name) => rm(new URL(`dist/${name}`, folder))))
  const bundled = await rolldown({
    cwd: fileURLToPath(folder),
    input: Object.fromEntries(doors.map((door) => [door, `src/${door}.ts`])),
    external: (id) => !id.startsWith(".") && !isAbsolute(id),
    platform: "node"
  })
  await bundled.write({
    dir: fileURLToPath(new URL("dist/", folder)),
    format: "esm",
    // one for each set of doors that share it, so that none loads what only others need
    chunkFileNames: ({ isDynamicEntry }) => isDynamicEntry ? "[name].js" : "shared-[hash].js",
    sourcemap: true,
    // the sources are there
    sourcemapExcludeSources: true
  })
}

const names = await readdir(packages)
await Promise.all(names.map((name) => bundle(new URL(`${name}/`, packages))))
