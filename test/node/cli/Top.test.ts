import type { Status } from "#node/gateway/OperatorPages"
import { assert, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { usualEnvironment } from "../../support/Child.ts"
import { gated } from "../../support/Gated.ts"
import { fast } from "../../support/Served.ts"

const program = fileURLToPath(new URL("../../../packages/node/src/bin.ts", import.meta.url))
const east = { name: "east", deployments: [{ name: "gpt", model: "gpt-4o", latency: fast }] }
const keys = [{ name: "b", sha256: createHash("sha256").update("secret").digest("hex"), operator: true }]

/** Each is a process or several, which take seconds to begin on a busy machine. */
const limit = { timeout: 60_000 }

/** Runs the command to its end, without a terminal. */
const top = (
  url: string,
  args: ReadonlyArray<string> = [],
  env: Readonly<Record<string, string>> = {}
): Promise<{ readonly code: number | null; readonly out: string; readonly errors: string }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [program, "top", "--url", url, ...args], {
      env: { ...usualEnvironment, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 50_000
    })
    let out = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => out += text)
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text)
    child.on("close", (code) => resolve({ code, out, errors }))
  })

describe("evenkeel top, without a terminal", limit, () => {
  it("prints it once, as text or as JSON, with a key from a flag or the environment", async () => {
    await using gateway = await gated([east], { gateway: { keys } })
    const [text, json, none] = await Promise.all([
      top(gateway.url, [], { EVENKEEL_KEY: "secret" }),
      top(gateway.url, ["--json", "--key", "secret"]),
      top(gateway.url)
    ])
    assert.deepStrictEqual([text.code, text.errors, json.code, json.errors], [0, "", 0, ""])
    assert.match(text.out, /Evenkeel 127\.0\.0\.1:\d+ {2}● Healthy/)
    assert.match(text.out, /● healthy +east\/gpt/)
    assert.notInclude(text.out, "\u001b")
    const status = JSON.parse(json.out) as Status & {
      readonly health: object
      readonly rates: { readonly requests: number }
    }
    assert.deepStrictEqual([status.health, status.rates.requests], [{ level: "good", text: "Healthy" }, 0])
    assert.strictEqual(status.deployments[0]!.id, "east/gpt")
    assert.strictEqual(none.code, 1)
    assert.include(none.errors + none.out, "This page is for operators")
  })

  it("says why, where there is no such gateway", async () => {
    const server = createServer((request, response) => {
      if (request.headers.authorization !== undefined) response.statusCode = 500
      response.end("{\"deployments\":\"\",\"error\":{\"message\":\"no \\u001b[2Jway\"}}")
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}`
    const [other, refusing] = await Promise.all([top(url), top(url, ["--key", "secret"])])
    await new Promise((resolve) => server.close(resolve))
    const nobody = await top(url)
    assert.deepStrictEqual([other.code, refusing.code, nobody.code], [1, 1, 1])
    assert.include(refusing.errors + refusing.out, "refuses: no way")
    assert.include(other.errors + other.out, "is no gateway of this version")
    assert.match(nobody.errors + nobody.out, /127\.0\.0\.1:\d+ does not answer \(ECONNREFUSED\)/)
  })
})

const hasScript = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") === true
if (!hasScript) console.warn("SKIPPED: no `script` of util-linux here, which gives a program a terminal of its own")

/** Runs it in a terminal, does something once it is drawn, and tells all that the terminal was sent, and how it is after. */
const inTerminal = (url: string, act: (type: (keys: string) => void, pid: number) => void): Promise<string> =>
  new Promise((resolve) => {
    const run =
      `stty rows 30 columns 120; sh -c 'echo pid=$$; exec "${process.execPath}" "${program}" top --url ${url}'; echo code=$?; stty -a`
    const child = spawn("script", ["-qec", run, "/dev/null"], {
      env: { ...usualEnvironment, TERM: "xterm", SHELL: "/bin/sh" },
      stdio: ["pipe", "pipe", "ignore"],
      timeout: 50_000
    })
    let said = ""
    let isDrawn = false
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (isDrawn || !said.includes("east/gpt") || !said.includes("quit")) return
      isDrawn = true
      act((keys) => child.stdin.write(keys), Number(/pid=(\d+)/.exec(said)![1]))
    })
    child.on("close", () => resolve(said))
  })

describe.skipIf(!hasScript)("evenkeel top, in a terminal", limit, () => {
  it("gives it back as it was, whether it is quit, interrupted or ended", async () => {
    await using gateway = await gated([east])
    const ways: ReadonlyArray<(type: (keys: string) => void, pid: number) => void> = [
      (type) => type("q"),
      (type) => type("/q\u0003"),
      (_, pid) => process.kill(pid, "SIGTERM")
    ]
    await Promise.all(ways.map(async (act, i) => {
      const said = await inTerminal(gateway.url, act)
      const [before, after] = said.split("\u001b[?1049l") as [string, string]
      assert.include(before, "\u001b[?1049h\u001b[?25l", String(i))
      // the cursor is back, lines wrap, and what is typed is seen
      assert.isTrue(before.endsWith("\u001b[?7h\u001b[?25h"), String(i))
      assert.match(after, /code=(?:0|130|143)\s/, String(i))
      assert.match(after, / icanon /, String(i))
      assert.match(after, / echo /, String(i))
    }))
  })
})
