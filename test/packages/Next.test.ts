import { spawn } from "node:child_process"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { evenkeelConfig, startTwo } from "../examples/support.ts"
import { makeProject, npmInstall, type Project } from "./support/Project.ts"
import { said } from "./support/Run.ts"

const layout = `
export default function Layout({ children }) {
  return <html><body>{children}</body></html>
}
`

const route = `
import { createLoadBalancerFromEnvironment } from "@evenkeel/node"

let lb
export const dynamic = "force-dynamic"
export const GET = async () => {
  lb ??= createLoadBalancerFromEnvironment()
  const answer = await lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Hi." }] })
  return new Response(answer.choices[0].message.content)
}
`

/** Starts what was built, asks it once, and ends it. */
const ask = async (project: Project, env: Readonly<Record<string, string>>): Promise<string> => {
  const server = spawn(process.execPath, ["node_modules/next/dist/bin/next", "start", "--port", "0"], {
    cwd: project.folder,
    env: { ...process.env, NODE_ENV: "production", ...env },
    stdio: ["ignore", "pipe", "inherit"]
  })
  try {
    const url = await said(server.stdout, /(http:\/\/localhost:\d+)[^]*Ready/)
    return await (await fetch(url)).text()
  } finally {
    server.kill("SIGKILL")
  }
}

describe("a route of Next", () => {
  it("is built, and answers", { timeout: 500_000 }, async (test) => {
    const skip = (why: string) => {
      console.warn(`${why}: skipped "${test.task.name}"`)
      test.skip(why)
    }
    if (process.env["EVENKEEL_QUICK"] === "1") skip("EVENKEEL_QUICK leaves Next out")
    await using project = await makeProject()
    try {
      await npmInstall(project, "next@16.4.6", "react@19", "react-dom@19")
    } catch {
      skip("Next cannot be had here")
    }
    await npmInstall(project, "@evenkeel/node")
    await mkdir(join(project.folder, "app"))
    await project.write({ "app/layout.jsx": layout, "app/route.js": route })
    const built = await project.run("npx", ["next", "build"], { NEXT_TELEMETRY_DISABLED: "1" })
    assert.strictEqual(built.code, 0, built.errors)
    await using simulator = await startTwo()
    assert.match(
      await ask(project, { ...evenkeelConfig(simulator), NEXT_TELEMETRY_DISABLED: "1" }),
      /^Hello from (?:eastus|sweden)\.$/
    )
  })
})
