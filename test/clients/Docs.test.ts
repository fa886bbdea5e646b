import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { inject } from "vitest"
import { startTwo, variables } from "../examples/support.ts"
import { eventually } from "../support/Served.ts"
import clients from "./package.json" with { type: "json" }
import { reach, said, ways } from "./Reach.ts"

const folder = new URL("snippets/", import.meta.url)
const names = await readdir(folder)

/** Compiled sources are kept, so that each further process starts in half the time. */
const cache = fileURLToPath(new URL("../../node_modules/.cache/clients/", import.meta.url))

/** What asks the gateway, by how its name ends: how it is run, and whether it can be. */
const outside = [
  { ending: ".py", command: inject("python"), isThere: inject("python") !== "", flag: "-c" },
  { ending: ".sh", command: "sh", isThere: inject("curl"), flag: "-c" }
]
const runOutside = (name: string) => outside.find(({ ending }) => name.endsWith(ending))

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
    const pinned = await readFile(new URL("python/requirements.txt", import.meta.url), "utf8")
    for (const [, name, version] of pinned.matchAll(/^(.+)==(.+)$/gm)) {
      assert.isTrue(plain.includes(`\`${name}\` ${version}`), `${name} ${version}`)
    }
  })

  for (const name of names) {
    const { command, flag, isThere } = runOutside(name) ?? { command: undefined, flag: "", isThere: true }
    if (command !== undefined) {
      it.skipIf(!isThere)(`runs ${name} against the gateway`, async () => {
        const keys = [{ name: "reader", sha256: createHash("sha256").update("the-key").digest("hex") }]
        await using reached = await reach(ways[1]!, undefined, { keys })
        const text = await readFile(new URL(name, folder), "utf8")
        const program = text.replaceAll("http://127.0.0.1:4000", reached.origin)
        const { stderr, stdout } = await promisify(execFile)(command, [flag, program], {
          env: { PATH: process.env["PATH"], LITELLM_LOCAL_MODEL_COST_MAP: "True" },
          timeout: 25_000
        })
        assert.include(stdout, said)
        assert.strictEqual(stderr, "")
        const times = text.split("user-42").length - 1
        await eventually(() => reached.sessions.length === times)
        assert.deepStrictEqual(reached.sessions, Array.from({ length: times }, () => "user-42"))
      })
      continue
    }
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
