import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { startTwo, variables } from "../examples/support.ts"
import clients from "./package.json" with { type: "json" }

const folder = new URL("snippets/", import.meta.url)
const names = await readdir(folder)

/** Compiled sources are kept, so that each further process starts in half the time. */
const cache = fileURLToPath(new URL("../../node_modules/.cache/clients/", import.meta.url))

/** What each prints; an answer, unless it is named here. */
const printed: Readonly<Record<string, RegExp>> = { "balancer.ts": /^$/, "commonjs.cjs": /^true\n$/ }

// one process after the other: two at a time take longer
describe("docs/clients.md", { concurrent: false }, () => {
  it("shows the snippets that are run here, and no others", async () => {
    const page = await readFile(new URL("../../docs/clients.md", import.meta.url), "utf8")
    const shown = Array.from(page.matchAll(/^```\w*\n(.*?)^```/gms), ([, code]) => code!)
    const files = await Promise.all(names.map((name) => readFile(new URL(name, folder), "utf8")))
    assert.deepStrictEqual(shown.toSorted(), files.toSorted())
  })

  it("tells the versions that are tested", async () => {
    const page = await readFile(new URL("../../docs/clients.md", import.meta.url), "utf8")
    const plain = page.replaceAll(/\s+/g, " ")
    for (const [name, version] of Object.entries(clients.dependencies)) {
      const isTold = ["zod", "effect", "@langchain/core"].includes(name) || plain.includes(`\`${name}\` ${version}`)
      assert.isTrue(isTold, `${name} ${version}`)
    }
  })

  for (const name of names) {
    it(`runs ${name}`, async () => {
      await using simulator = await startTwo()
      const { stderr, stdout } = await promisify(execFile)(process.execPath, [name], {
        cwd: folder,
        env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: cache, ...variables(simulator) },
        timeout: 25_000
      })
      assert.match(stdout, printed[name] ?? /^Hello from (?:eastus|sweden)\.\n$/)
      assert.strictEqual(stderr, "")
    })
  }
})
