/**
 * Writes each package's `dist/*.js`: one file for each of its doors, besides what they share.
 *
 * Node takes half a millisecond for each file that it loads, and as much again to find what a file imports: bundled,
 * `@evenkeel/node` loads a fifth faster. Packages stay imports, so that a program has one copy of Effect and of `openai`.
 *
 * `@evenkeel/node/promises` has what it needs of Effect inside, as Effect is 180 files: it loads in 0.6 of the time.
 */
import { readdir, readFile, rm } from "node:fs/promises"
import { isAbsolute } from "node:path"
import { fileURLToPath } from "node:url"
import { type InputOptions, type OutputOptions, type Plugin, rolldown } from "rolldown"

const packages = new URL("../packages/", import.meta.url)

/** The doors of a package, wherever its manifest names one: `index` for `./dist/index.js`. */
const doorsOf = (manifest: string): ReadonlyArray<string> =>
  Array.from(manifest.matchAll(/"\.\/dist\/([^"*]*)\.js"/g), ([, door]) => door!)

const isPackage = (id: string): boolean => !id.startsWith(".") && !isAbsolute(id)

const write = async (
  folder: URL,
  doors: ReadonlyArray<string>,
  input: InputOptions,
  output: OutputOptions
): Promise<void> => {
  const bundled = await rolldown({
    cwd: fileURLToPath(folder),
    input: Object.fromEntries(doors.map((door) => [door, `src/${door}.ts`])),
    external: isPackage,
    platform: "node",
    ...input
  })
  await bundled.write({
    dir: fileURLToPath(new URL("dist/", folder)),
    format: "esm",
    // they are in the types
    comments: { jsdoc: false },
    sourcemap: true,
    // the sources are there
    sourcemapExcludeSources: true,
    ...output
  })
}

const bundle = async (folder: URL): Promise<void> => {
  const doors = doorsOf(await readFile(new URL("package.json", folder), "utf8"))
  // types are the compiler's
  const stale = (await readdir(new URL("dist/", folder), { recursive: true })).filter((name) =>
    /\.js(?:\.map)?$/.test(name)
  )
  await Promise.all(stale.map((name) => rm(new URL(`dist/${name}`, folder))))
  await write(folder, doors.filter((door) => door !== "promises"), {}, {
    // one for each set of doors that share it, so that none loads what only others need
    chunkFileNames: ({ isDynamicEntry }) => isDynamicEntry ? "[name].js" : "shared-[hash].js"
  })
}

/** An error is of the same class, whichever door it comes through. */
const sharedErrors: Plugin = {
  name: "shared-errors",
  resolveId: async function(id, importer) {
    const found = id.endsWith("/Errors.ts") ? await this.resolve(id, importer, { skipSelf: true }) : null
    return found?.id === fileURLToPath(new URL("core/src/Errors.ts", packages))
      ? { id: "@evenkeel/core/Errors", external: true }
      : null
  }
}

const bundlePromises = async (): Promise<void> => {
  const folder = new URL("node/", packages)
  const licence = await readFile(new URL("node_modules/effect/LICENSE", folder), "utf8")
  await write(folder, ["promises"], {
    external: (id) => isPackage(id) && !/^(?:effect|@evenkeel\/core)\//.test(`${id}/`),
    plugins: [sharedErrors]
  }, {
    chunkFileNames: ({ isDynamicEntry }) => isDynamicEntry ? "promises-[name].js" : "promises-[hash].js",
    postBanner: `/*! With parts of Effect:\n\n${licence}*/`,
    // where npm puts it beside this package
    sourcemapPathTransform: (path) => path.replace(/^.*\/node_modules\/effect\//, "../../../effect/")
  })
}

const names = await readdir(packages)
await Promise.all(names.map((name) => bundle(new URL(`${name}/`, packages))))
await bundlePromises()
