import { mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { rolldown } from "rolldown"
import { afterAll, assert, beforeAll, describe, it, type TestContext } from "vitest"
import { evenkeelConfig, startTwo } from "../examples/support.ts"
import { greeting, makeProject, npmInstall, type Project } from "./support/Project.ts"
import { tool } from "./support/Tools.ts"

const program = `
import { createLoadBalancerFromEnvironment } from "@evenkeel/node"
import { OtlpLive, prometheusRules } from "@evenkeel/otel"

const main = async () => {
  if (!prometheusRules().includes("alert:")) throw new Error("no rules")
  const lb = createLoadBalancerFromEnvironment({ instrumentation: OtlpLive })
  const answer = await lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Hi." }] })
  console.log(answer.choices[0].message.content)
  await lb.close()
}
main()
`

/** What webpack and rspack have in common. */
const packing = (name: string, path: string) => `
const bundler = require(${JSON.stringify(path)})
bundler({
  mode: "production",
  optimization: { minimize: false },
  target: "node",
  context: __dirname,
  entry: "./program.mjs",
  output: { path: __dirname + "/out/${name}", filename: "program.cjs" }
}, (error, stats) => {
  if (error) throw error
  console.log(stats.toString({ all: false, errors: true, errorDetails: true }))
  process.exitCode = stats.hasErrors() ? 1 : 0
})
`

describe("a bundle that has all", () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({ "program.mjs": program })
    await npmInstall(project, "@evenkeel/node", "@evenkeel/otel")
  })

  afterAll(() => project[Symbol.asyncDispose]())

  /** Runs a bundle where no package can be found. */
  const runs = async (name: string, file: string): Promise<void> => {
    await using simulator = await startTwo()
    await using elsewhere = await makeProject()
    await mkdir(join(elsewhere.folder, "bundle"))
    await elsewhere.must("cp", "-r", join(project.folder, "out", name), "bundle")
    const env = { ...evenkeelConfig(simulator), OTEL_SDK_DISABLED: "true" }
    const { code, errors, out } = await elsewhere.run(process.execPath, [join("bundle", name, file)], env)
    assert.match(out, greeting, errors)
    assert.deepStrictEqual([code, errors], [0, ""])
  }

  for (const [format, file] of [["esm", "program.mjs"], ["cjs", "program.cjs"]] as const) {
    it(`is made by esbuild, as ${format}`, async (test) => {
      const esbuild = await tool("esbuild", test)
      const options = ["--bundle", "--platform=node", `--format=${format}`, "--log-level=warning"]
      const { errors } = await project.run(esbuild, ["program.mjs", ...options, `--outfile=out/${format}/${file}`])
      assert.strictEqual(errors, "")
      await runs(format, file)
    })
  }

  it("is made by rolldown", async () => {
    const bundled = await rolldown({
      cwd: project.folder,
      input: "program.mjs",
      platform: "node",
      external: /^(?:redis|@azure\/)/
    })
    await bundled.write({
      dir: join(project.folder, "out/rolldown"),
      entryFileNames: "program.mjs",
      chunkFileNames: "[name].mjs"
    })
    await runs("rolldown", "program.mjs")
  })

  const packed = async (name: "rspack" | "webpack", test: TestContext): Promise<void> => {
    const path = await tool(name, test)
    await project.write({ [`${name}.cjs`]: packing(name, path) })
    await project.must(process.execPath, `${name}.cjs`)
    assert.include(await readdir(join(project.folder, "out", name)), "program.cjs")
    await runs(name, "program.cjs")
  }

  it("is made by rspack", (test) => packed("rspack", test))

  it("is made by webpack", (test) => packed("webpack", test))
})
