import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"
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
    project = await makeProject({ "timing.mjs": timing, "loading.mjs": loading })
    await npmInstall(project, "@evenkeel/node")
  })

  afterAll(() => project[Symbol.asyncDispose]())

  it("loads nothing that is not needed", async () => {
    const loaded = JSON.parse(await project.must(process.execPath, "loading.mjs", "@evenkeel/node")) as Array<string>
    assert.deepStrictEqual(loaded, ["@evenkeel/core", "@evenkeel/node", "@pydantic/genai-prices", "effect", "openai"])
  })

  it("is imported in less than three times of it", async () => {
    const names = ["openai", "@evenkeel/node"] as const
    const times: Record<typeof names[number], Array<Times>> = { "openai": [], "@evenkeel/node": [] }
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of names) {
        // oxlint-disable-next-line no-await-in-loop -- in turn, so that both have the same machine
        times[name].push(JSON.parse(await project.must(process.execPath, "timing.mjs", name)) as Times)
      }
    }
    const ratio = (key: keyof Times) => median(times["@evenkeel/node"], key) / median(times.openai, key)
    const told = names.map((name) => `${name} ${Math.round(median(times[name], "clock"))} ms`).join(", ")
    console.log(
      `import: ${told}: ${ratio("clock").toFixed(2)} times; of the processor's time ${ratio("processor").toFixed(2)}`
    )
    assert.isBelow(ratio("processor"), 3)
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
