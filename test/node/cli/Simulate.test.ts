import { optionsOf, run, type SimulateInput } from "#node/cli/Simulate"
import * as ConfigSource from "#node/ConfigSource"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runEvenkeel, startEvenkeel } from "../../support/Child.ts"

/** Sends what a command line of curl does. */
const curl = async (line: string): Promise<Response> => {
  const parsed = /^curl (?:-X (\S+) )?(\S+)(?: -H 'authorization: ([^']+)')?(?: -d '(.*)')?$/.exec(line)
  assert.isNotNull(parsed, line)
  const [, method, url, authorization, body] = parsed!
  return fetch(url!, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: authorization === undefined ? {} : { authorization },
    ...(body === undefined ? {} : { body })
  })
}

type Given = { readonly [Key in keyof SimulateInput]?: SimulateInput[Key] extends Option.Option<infer A> ? A : never }

/** What the command is given by these flags. */
const given = ({ deployments, file, port, resources, rpm, tpm }: Given): SimulateInput => ({
  deployments: Option.fromUndefinedOr(deployments),
  file: Option.fromUndefinedOr(file),
  port: Option.fromUndefinedOr(port),
  resources: Option.fromUndefinedOr(resources),
  rpm: Option.fromUndefinedOr(rpm),
  tpm: Option.fromUndefinedOr(tpm),
  printConfig: false
})

const mistakeOf = (flags: Given): string => {
  const options = optionsOf(given(flags))
  return Result.isFailure(options) ? options.failure.message : ""
}

const portsOf = (port: number) =>
  Result.getOrThrow(optionsOf(given({ port, resources: 3 }))).resources.map((resource) => resource.port)

describe("evenkeel simulate", { concurrent: false }, () => {
  it("prints what one needs to use it, and how it is changed, and each line works", async () => {
    const simulating = startEvenkeel(
      ["simulate", "--port", "0", "--resources", "2", "--deployments", "gpt-4o,mini=gpt-4o-mini", "--tpm", "30000"]
    )
    const shown = await simulating.said(/consume/)
    assert.match(shown, /^http:\/\/127\.0\.0\.1:\d+\/openai\/v1 +sim-1-key +gpt-4o, mini\nhttp.* sim-2-key/m)
    const lines = shown.match(/^curl .*/gm)!
    assert.lengthOf(lines, 7)
    for (const line of lines) {
      const response = await curl(line)
      assert.strictEqual(response.status, 200, line)
      await response.text()
    }
    simulating.child.kill("SIGTERM")
    assert.deepInclude(await simulating.ended, { code: 0, signal: null, stderr: "" })
  })

  it("prints a configuration alone, which loads and is well", async () => {
    const simulating = startEvenkeel(["simulate", "--port", "0", "--print-config", "--rpm", "180"])
    const EVENKEEL_CONFIG = await simulating.said(/rpm: 180\n/)
    const config = Result.getOrThrow(ConfigSource.read({ EVENKEEL_CONFIG }))
    assert.deepInclude(config.resources[0]!.deployments[0], { name: "gpt-4o", tpm: undefined, rpm: 180 })
    const checked = await runEvenkeel(["check", "--completion"], { EVENKEEL_CONFIG })
    assert.strictEqual(checked.code, 0, checked.stdout)
    assert.include(checked.stdout, "180 rpm")
    simulating.child.kill("SIGINT")
    assert.deepInclude(await simulating.ended, { code: 0, signal: null, stdout: EVENKEEL_CONFIG })
  })

  it("simulates what a file says, and tells every mistake in it", () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-"))
    try {
      const file = join(folder, "sim.yaml")
      writeFileSync(file, "resources: [{ name: east, deployments: [{ name: o3, faults: [{ kind: reset }] }] }]\n")
      const { resources } = Result.getOrThrow(optionsOf(given({ file })))
      assert.deepInclude(resources[0]!.deployments[0], { name: "o3", faults: [{ kind: "reset" }] })
      writeFileSync(file, "resources: [{ name: east }]\nseeds: 1\n")
      assert.match(mistakeOf({ file }), /sim\.yaml is not valid:\n.* did you mean `seed`\?\n.*deployments: is missing/)
      assert.match(mistakeOf({ file: join(folder, "none.yaml") }), /none\.yaml is not valid:\n {2}- no such file/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it("takes resources one port after the other, and any where it is 0", () => {
    assert.deepStrictEqual(portsOf(7000), [7000, 7001, 7002])
    assert.deepStrictEqual(portsOf(0), [0, 0, 0])
    assert.include(mistakeOf({ port: 65_535, resources: 2 }), "resources[1].port: expected a port from 0 to 65535")
  })

  it("refuses flags that the file says, and a list that it cannot read", () => {
    assert.include(mistakeOf({ file: "sim.yaml", tpm: 5 }), "--tpm: is said by the file; leave it out")
    assert.include(mistakeOf({ deployments: "a=b=c" }), "--deployments: entry 1 is neither name nor name=model")
  })

  it("says so where something else listens", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as { port: number }
    const exit = await Effect.runPromise(Effect.flip(run(given({ port }))))
    server.close()
    assert.include(exit.message, `Nothing can listen at 127.0.0.1:${port} (EADDRINUSE): give another port`)
  })
})
