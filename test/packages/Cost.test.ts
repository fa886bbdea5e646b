import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { rolldown } from "rolldown"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { makeProject, npmInstall, type Project } from "./support/Project.ts"

const ROUNDS = 7

/** Prints the time that an import takes, and that of the processor, in milliseconds. */
const timing = `
const begin = performance.now()
const used = process.cpuUsage()
await import(process.argv[2])
const { system, user } = process.cpuUsage(used)
console.log(JSON.stringify({ clock: performance.now() - begin, processor: (system + user) / 1000 }))
`

/** Prints the packages that an import loads. */
const loading = `
import { registerHooks } from "node:module"
const names = new Set()
registerHooks({
  load: (url, context, next) => {
    const name = /.*node_modules[/]((?:@[^/]+[/])?[^/]+)/.exec(url)?.[1]
    if (name) names.add(name)
    return next(url, context)
  }
})
await import(process.argv[2])
console.log(JSON.stringify([...names].sort()))
`

interface Times {
  readonly clock: number
  readonly processor: number
}

const median = (times: ReadonlyArray<Times>, key: keyof Times): number =>
  times.map((time) => time[key]).toSorted((a, b) => a - b)[times.length >> 1]!

/** Bytes of all files below a folder, in megabytes. */
const sizeOf = async (folder: string): Promise<number> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(files.map(({ name, parentPath }) => stat(join(parentPath, name))))
  return sizes.reduce((sum, { blocks }) => sum + blocks * 512, 0) / 2 ** 20
}

describe("what @evenkeel/node costs beside openai alone", () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      "timing.mjs": timing,
      "loading.mjs": loading,
      "entry.mjs": "export * from \"@evenkeel/node\""
    })
    await npmInstall(project, "@evenkeel/node")
  })

  afterAll(() => project[Symbol.asyncDispose]())

  it("loads nothing that is not needed", async () => {
    const loaded = JSON.parse(await project.must(process.execPath, "loading.mjs", "@evenkeel/node")) as Array<string>
    assert.deepStrictEqual(loaded, ["@evenkeel/core", "@evenkeel/node", "effect", "openai"])
  })

  it("is imported in less than three times of it, and bundled in less than one and a half", async () => {
    const bundled = await rolldown({
      cwd: project.folder,
      input: "entry.mjs",
      platform: "node",
      external: /^(?:redis|@azure\/)/
    })
    await bundled.write({
      dir: join(project.folder, "out"),
      entryFileNames: "[name].mjs",
      chunkFileNames: "[name].mjs",
      minify: true
    })

    const names = ["openai", "@evenkeel/node", "./out/entry.mjs"]
    const times = names.map((): Array<Times> => [])
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, name] of names.entries()) {
        // oxlint-disable-next-line no-await-in-loop -- in turn, so that all have the same machine
        times[i]!.push(JSON.parse(await project.must(process.execPath, "timing.mjs", name)) as Times)
      }
    }
    const [alone, ...ours] = times.map((of) => median(of, "processor"))
    for (const [i, name] of names.entries()) {
      const [clock, processor] = [median(times[i]!, "clock"), median(times[i]!, "processor")]
      const ratio = (processor / alone!).toFixed(2)
      console.log(
        `import of ${name}: ${Math.round(clock)} ms, ${Math.round(processor)} of the processor, ${ratio} times`
      )
    }
    assert.isBelow(ours[0]! / alone!, 3)
    assert.isBelow(ours[1]! / alone!, 1.5)
  })

  it("is installed with 20 MB besides openai and Effect", async () => {
    const modules = join(project.folder, "node_modules")
    const [all, openai, effect] = await Promise.all([
      sizeOf(modules),
      sizeOf(join(modules, "openai")),
      sizeOf(join(modules, "effect"))
    ])
    const [whole, alone, engine] = [all, openai, effect].map((size) => `${Math.round(size)} MB`)
    console.log(`install: ${whole}, of which openai has ${alone} and effect ${engine}`)
    assert.isBelow(all - openai - effect, 20)
  })
})
