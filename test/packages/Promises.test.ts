import type { Simulator } from "@evenkeel/node"
import { readFile, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { evenkeelConfig, startTwo, variables } from "../examples/support.ts"
import { commonJs, greeting, makeProject, npmInstall, programOf, type Project } from "./support/Project.ts"
import { tool } from "./support/Tools.ts"

const throughPromises = (program: string): string =>
  program.replace("\"@evenkeel/node\"", "\"@evenkeel/node/promises\"")

/** What comes through one door is known at the others. */
const mixed = `
import { InvalidConfig, LoadBalancerError, Policy, Selector } from "@evenkeel/core"
import * as Node from "@evenkeel/node"
import * as Promises from "@evenkeel/node/promises"
import OpenAI from "openai"

const failureOf = (create) => {
  try {
    create()
  } catch (error) {
    return error
  }
}
const wrong = failureOf(() => Promises.createLoadBalancer({ resources: [] }))
const lb = Promises.createLoadBalancerFromEnvironment()
const unknown = await lb.openai.models.retrieve("none").catch((error) => error)
const layer = failureOf(() => Promises.createLoadBalancerFromEnvironment({ selector: Selector.layer(Policy.leastLoaded) }))
console.log(JSON.stringify({
  classes: [LoadBalancerError === Node.LoadBalancerError, LoadBalancerError === Promises.LoadBalancerError],
  wrong: [wrong instanceof LoadBalancerError, wrong.reason instanceof InvalidConfig],
  client: [lb.openai instanceof OpenAI, unknown instanceof OpenAI.APIError],
  layer: layer.message
}))
await lb.close()
`

describe("@evenkeel/node/promises", () => {
  let project: Project
  let simulator: Simulator

  beforeAll(async () => {
    simulator = await startTwo()
    project = await makeProject({
      "first.mts": throughPromises(await programOf("node")),
      "first.cjs": throughPromises(commonJs),
      "mixed.mjs": mixed
    })
    await npmInstall(project, "@evenkeel/node")
  })

  afterAll(async () => {
    await project[Symbol.asyncDispose]()
    await simulator.close()
  })

  for (const file of ["first.mts", "first.cjs"]) {
    for (const runtime of ["node 24", "node 22.19", "bun", "deno"] as const) {
      it(`runs ${file} on ${runtime}`, async (test) => {
        const command = runtime === "node 24" ? process.execPath : await tool(runtime, test)
        const args = runtime === "deno" ? ["run", "--allow-all", file] : [file]
        const { code, errors, out } = await project.run(command, args, {
          ...variables(simulator),
          ...evenkeelConfig(simulator)
        })
        assert.match(out, greeting, errors)
        assert.strictEqual(code, 0)
        if (runtime.startsWith("node")) assert.strictEqual(errors, "")
      })
    }
  }

  for (const format of ["esm", "cjs"]) {
    it(`is bundled by esbuild, as ${format}`, async (test) => {
      const file = `bundled.${format === "esm" ? "mjs" : "cjs"}`
      const options = ["--bundle", "--platform=node", `--format=${format}`, "--log-level=warning"]
      await project.must(await tool("esbuild", test), "first.cjs", ...options, `--outfile=${file}`)
      await using elsewhere = await makeProject({ [file]: await readFile(join(project.folder, file), "utf8") })
      const { code, errors, out } = await elsewhere.run(process.execPath, [file], evenkeelConfig(simulator))
      assert.match(out, greeting, errors)
      assert.deepStrictEqual([code, errors], [0, ""])
    })
  }

  it("has the classes of the other doors, and takes no layer of theirs", async () => {
    const { errors, out } = await project.run(process.execPath, ["mixed.mjs"], evenkeelConfig(simulator))
    assert.strictEqual(errors, "")
    const { layer, ...same } = JSON.parse(out) as { readonly layer: string }
    assert.deepStrictEqual(same, { classes: [true, true], wrong: [true, true], client: [true, true] })
    assert.include(layer, "options.selector: a layer")
  })

  it("says whose parts are in it, and where they are", async () => {
    const file = join(project.folder, "node_modules/@evenkeel/node/dist/promises.js")
    assert.include(await readFile(file, "utf8"), "Effectful Technologies")
    const { sources } = JSON.parse(await readFile(`${file}.map`, "utf8")) as { readonly sources: ReadonlyArray<string> }
    assert.isTrue(sources.some((source) => source.includes("effect/dist/")))
    await Promise.all(sources.map((source) => stat(join(dirname(file), source))))
  })
})
