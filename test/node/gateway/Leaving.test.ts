import { assert, describe, it } from "@effect/vitest"
import type { Socket } from "node:net"
import { atRest, chat, counters, edge, open, until, upstream, written } from "../../support/Edge.ts"
import type { Gated } from "../../support/Gated.ts"
import { pause, slow } from "../../support/Served.ts"

describe("a client that goes away", () => {
  const moments: Record<string, (gateway: Gated, line: Awaited<ReturnType<typeof open>>) => Promise<unknown>> = {
    "before its answer": (gateway) => until(() => upstream(gateway) === 1),
    "within its stream": (_gateway, line) => line.has("data: ")
  }
  const ways: Record<string, (socket: Socket) => unknown> = {
    "closes its connection": (socket) => socket.destroy(),
    "resets it": (socket) => socket.resetAndDestroy(),
    // a proxy that hears no more of its own client does so
    "ends its side": (socket) => socket.end()
  }
  for (const [when, wait] of Object.entries(moments)) {
    for (const [how, leave] of Object.entries(ways)) {
      it(`${when} and ${how} stops what is under way for it at once`, async () => {
        const latency = when === "before its answer" ? { baseMs: 20_000, jitter: 0 } : slow
        await using gateway = await edge({}, { latency, reply: () => "word ".repeat(500) })
        using line = await open(gateway.port, { allowHalfOpen: true })
        line.socket.write(written(chat({ stream: true })))
        await wait(gateway, line)
        const left = performance.now()
        leave(line.socket)
        await until(() => gateway.simulator.service("east").stats(Date.now()).abandoned === 1)
        assert.isBelow(performance.now() - left, 2000)
        await atRest(gateway)
      })
    }
  }

  it("while it waits for a deployment leaves the line", async () => {
    await using gateway = await edge()
    gateway.simulator.service("east").fault("*", { kind: "throttle", retryAfterMs: 5000 })
    using line = await open(gateway.port)
    line.socket.write(written(chat()))
    await until(async () => (await counters(gateway)).requests === 1)
    await pause(100)
    line.socket.destroy()
    await atRest(gateway)
  })
})
