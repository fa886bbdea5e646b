import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { runChild } from "../support/Child.ts"
import { eventually, fast, slow } from "../support/Served.ts"

const start = () =>
  startSimulator({
    resources: [{
      name: "east",
      deployments: [
        { name: "gpt", model: "gpt-4o", latency: fast },
        { name: "endless", model: "endless", latency: slow, reply: () => "x".repeat(100_000) }
      ]
    }]
  })

/** Runs a program that lets go of its balancer, which must then end by itself and leave nothing behind. */
const letGo = async (way: string): Promise<Record<string, unknown>> => {
  await using simulator = await start()
  const ended = await runChild("closing", [way, simulator.resources[0]!.url])
  assert.deepStrictEqual([ended.code, ended.signal, ended.stderr], [0, null, ""], JSON.stringify(ended))
  await eventually(() => simulator.service("east").stats(Date.now()).inFlight === 0)
  const said = ended.stdout.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.isBelow(said.at(-1)!["endedAfter"] as number, 1_000)
  return said[0]!
}

// one process after the other: each takes a core while it starts
describe("a process ends by itself", { concurrent: false }, () => {
  it("when a balancer is closed, used or not, and no handle is left", async () => {
    const said = await letGo("used")
    assert.isAbove(said["chunks"] as number, 1)
    assert.deepStrictEqual(said["resources"], [])
  }, 20_000)

  it("when a balancer is closed with calls and streams under way, and each of them is told", async () => {
    const said = await letGo("busy")
    assert.strictEqual(said["inFlight"], 0)
    for (const call of ["read", "halfRead", "unread", "asked", "after"]) {
      assert.match(String(said[call]), /^failed with /, call)
    }
    assert.strictEqual(said["fetched"], "ended with 503")
    assert.strictEqual(said["told"], "ended with their end")
  }, 20_000)

  it("not while a credential is waited for, though nothing else is under way", async () => {
    assert.match(String((await letGo("credential"))["asked"]), /^failed with /)
  }, 20_000)

  it(
    "when the block of an `await using` is left, by its end or by an error, which is the caller's to see",
    async () => {
      assert.deepStrictEqual(await letGo("scoped"), { code: "model_not_found" })
    },
    20_000
  )
})
