import type { Simulator } from "@evenkeel/node"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { evenkeelConfig, startTwo, variables } from "../examples/support.ts"
import { commonJs, greeting, makeProject, npmInstall, programOf, type Project } from "./support/Project.ts"
import { said } from "./support/Run.ts"
import { tool } from "./support/Tools.ts"

describe("npm install @evenkeel/node", () => {
  let project: Project
  let simulator: Simulator

  beforeAll(async () => {
    simulator = await startTwo()
    project = await makeProject({ "first.mts": await programOf("node"), "first.cjs": commonJs })
    await npmInstall(project, "@evenkeel/node")
  })

  afterAll(async () => {
    await project[Symbol.asyncDispose]()
    await simulator.close()
  })

  it("brings one copy of each package, and none that is not needed", async () => {
    const found = await readdir(join(project.folder, "node_modules"), { recursive: true })
    for (const name of ["@evenkeel/core", "@evenkeel/node", "effect", "openai"]) {
      assert.strictEqual(found.filter((path) => `/${path}`.endsWith(`/${name}/package.json`)).length, 1, name)
    }
    for (const name of ["redis", "@azure/identity", "@effect/platform-node", "rolldown"]) {
      assert.isFalse(existsSync(join(project.folder, "node_modules", name)), name)
    }
  })

  for (const file of ["first.mts", "first.cjs"]) {
    for (const node of ["node 24", "node 22.19"] as const) {
      it(`runs ${file} on ${node}`, async (test) => {
        const command = node === "node 24" ? process.execPath : await tool(node, test)
        const env = { ...variables(simulator), ...evenkeelConfig(simulator) }
        const { code, errors, out } = await project.run(command, [file], env)
        assert.match(out, greeting)
        assert.deepStrictEqual([code, errors], [0, ""])
      })
    }
  }

  it("has a command that serves, with its page", async () => {
    const serving = spawn(process.execPath, ["node_modules/.bin/evenkeel", "serve", "--port", "0"], {
      cwd: project.folder,
      env: { ...process.env, ...evenkeelConfig(simulator) },
      stdio: ["ignore", "pipe", "inherit"]
    })
    const ended = once(serving, "exit")
    try {
      const url = await said(serving.stdout, /base URL for clients: (\S+)/)
      const response = await fetch(`${url}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hi." }] })
      })
      assert.match(await response.text(), /Hello from (?:eastus|sweden)\./)
      assert.include(await (await fetch(new URL("/", url))).text(), "<html")
    } finally {
      serving.kill("SIGTERM")
    }
    assert.deepStrictEqual(await ended, [0, null])
  })

  it("runs with tsx", async (test) => {
    const tsx = await tool("tsx", test)
    const { errors, out } = await project.run(tsx, ["first.mts"], variables(simulator))
    assert.match(out, greeting, errors)
  })
})
