import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { runChild } from "../support/Child.ts"
import { fast } from "../support/Served.ts"

/** Runs a program that never closes its balancer. */
const forget = async (way: string): Promise<unknown> => {
  await using simulator = await startSimulator({
    resources: [{
      name: "east",
      deployments: [
        { name: "gpt", model: "gpt-4o", latency: fast },
        { name: "busy", model: "busy", latency: fast },
        { name: "stuck", model: "stuck", latency: fast }
      ]
    }]
  })
  const east = simulator.service("east")
  east.fault("busy", { kind: "throttle", retryAfterMs: 1_000 })
  east.fault("stuck", { kind: "hang" })
  // the first is refused, and no other
  const relief = setInterval(() => east.stats(Date.now()).requests > 0 && east.clear("busy"), 5)
  const ended = await runChild("forgotten", [way, simulator.resources[0]!.url]).finally(() => clearInterval(relief))
  assert.deepStrictEqual([ended.code, ended.signal, ended.stderr], [0, null, ""], JSON.stringify(ended))
  const said = ended.stdout.trim().split("\n").map((line) => JSON.parse(line) as unknown)
  assert.isBelow((said.at(-1) as { endedAfter: number }).endedAfter, 2_000)
  return said[0]
}

// one process after the other: each takes a core while it starts
describe("a process whose balancer is not closed", { concurrent: false }, () => {
  it("ends by itself where nothing was asked", async () => {
    assert.strictEqual(await forget("unused"), "nothing")
  }, 20_000)

  it("ends by itself between two checks", async () => {
    assert.strictEqual(await forget("checked"), "checked")
  }, 20_000)

  it("ends by itself when its calls and streams have ended", async () => {
    assert.strictEqual(await forget("used"), 1)
  }, 20_000)

  it("does not end while a call waits to be sent", async () => {
    assert.strictEqual(await forget("waiting"), 1)
  }, 20_000)

  it("does not end while a call waits for its answer, and passes its deadline", async () => {
    assert.strictEqual(await forget("hanging"), 504)
  }, 20_000)
})
