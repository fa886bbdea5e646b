import type { Simulator } from "@evenkeel/node"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { startTwo, variables } from "../examples/support.ts"
import { greeting, makeProject, programOf } from "./support/Project.ts"
import { tool } from "./support/Tools.ts"

describe("one name is enough to install", () => {
  let simulator: Simulator

  beforeAll(async () => {
    simulator = await startTwo()
  })

  afterAll(() => simulator.close())

  it("with pnpm", async () => {
    await using project = await makeProject({ "first.mts": await programOf("node") })
    await project.must("pnpm", "add", "--prefer-offline", "@evenkeel/node")
    const { errors, out } = await project.run(process.execPath, ["first.mts"], variables(simulator))
    assert.match(out, greeting, errors)
  })

  it("with Bun", async (test) => {
    const bun = await tool("bun", test)
    await using project = await makeProject({ "first.mts": await programOf("node") })
    await project.must(bun, "add", "@evenkeel/node")
    const { errors, out } = await project.run(bun, ["first.mts"], variables(simulator))
    assert.match(out, greeting, errors)
  })

  it("with Deno", async (test) => {
    const deno = await tool("deno", test)
    await using project = await makeProject({ "first.mts": await programOf("node") })
    await project.must(deno, "add", "npm:@evenkeel/node")
    const { errors, out } = await project.run(deno, ["run", "--allow-all", "first.mts"], variables(simulator))
    assert.match(out, greeting, errors)
  })
})
