import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { rolldown } from "rolldown"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { makeProject, npmInstall, type Project } from "./support/Project.ts"

const ROUNDS = 15

/** Prints the time that an import takes, and that of the processor, in milliseconds. */
const timing = `
const begin = performance.now()
const used = process.cpuUsage()
await import(process.argv[2])
const { system, user } = process.cpuUsage(used)
console.log(JSON.stringify({ clock: performance.now() - begin, processor: (system + user) / 1000 }))
`

/** Prints the packages that an import loads, and how many files of each. */
const loading = `
import { registerHooks } from "node:module"
const files = {}
registerHooks({
  load: (url, context, next) => {
    const name = /.*node_modules[/]((?:@[^/]+[/])?[^/]+)/.exec(url)?.[1]
    if (name) files[name] = (files[name] ?? 0) + 1
    return next(url, context)
  }
})
await import(process.argv[2])
console.log(JSON.stringify(files))
`

interface Times {
  readonly clock: number
  readonly processor: number
}

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

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

  const loaded = async (door: string): Promise<Readonly<Record<string, number>>> =>
    JSON.parse(await project.must(process.execPath, "loading.mjs", door)) as Readonly<Record<string, number>>

  it("loads nothing that is not needed, and next to nothing of Effect for promises", async () => {
    const needed = ["@evenkeel/core", "@evenkeel/node", "effect", "openai"]
    assert.hasAllKeys(await loaded("@evenkeel/node"), needed)
    const files = await loaded("@evenkeel/node/promises")
    assert.hasAllKeys(files, needed)
    assert.isBelow(files["effect"]!, 20)
  })

  it("is imported in less than three times of it, for promises in half as much more, and bundled in less", async () => {
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

    const names = ["openai", "@evenkeel/node", "@evenkeel/node/promises", "./out/entry.mjs"]
    const times = names.map((): Array<Times> => [])
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, name] of names.entries()) {
        times[i]!.push(JSON.parse(await project.must(process.execPath, "timing.mjs", name)) as Times)
      }
    }
    const ratios = names.map((name, i) => {
      const of = times[i]!
      const ratio = median(of.map(({ processor }, round) => processor / times[0]![round]!.processor))
      const [clock, processor] = [median(of.map(({ clock }) => clock)), median(of.map(({ processor }) => processor))]
      console.log(
        `import of ${name}: ${Math.round(clock)} ms, ${Math.round(processor)} of the processor, ${
          ratio.toFixed(2)
        } times`
      )
      return ratio
    })
    // 2.4 and 1.4, with room for what a machine adds
    assert.isBelow(ratios[1]!, 2.75)
    assert.isBelow(ratios[2]!, 1.6)
    assert.isBelow(ratios[3]!, 1)
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
