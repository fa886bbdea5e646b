/**
 * Processes that share a real Redis, while that dies, hangs, fills up and moves. Whatever happens to it, every request is
 * answered, and as soon as without it.
 */
// loaded beforehand: how long a process takes to begin is none of its store's doing
// oxlint-disable-next-line no-unassigned-import -- it is there to be loaded
import "#node/ConnectionPools"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import { isFull } from "../support/Check.ts"
import { hello, resource } from "../support/Served.ts"
import { Proxy } from "./Proxy.ts"
import { hasRedis, RedisServer } from "./RedisServer.ts"

const timeout = 60_000

/**
 * No request may take longer, in milliseconds, but for those few that met a machine with other things to do: alone they take a
 * few. A store that hangs, or is late by seconds, would hold many of them for longer.
 */
const PROMPT = 500
const FEW = 0.05
const LONGEST = 4000

class Members implements AsyncDisposable {
  readonly all: Array<LoadBalancerClient> = []
  /** How long each request took that was answered, and what became of the others. */
  readonly took: Array<number> = []
  readonly failed: Array<unknown> = []
  readonly events: Array<string> = []
  private readonly simulator: Awaited<ReturnType<typeof startSimulator>>
  private readonly url: string
  private isOver = false
  private readonly traffic: Promise<void>

  private constructor(simulator: Members["simulator"], url: string) {
    this.simulator = simulator
    this.url = url
    this.traffic = this.ask()
  }

  static async start(url: string, count: number): Promise<Members> {
    const simulator = await startSimulator({ resources: [resource("a", { tpm: 10_000_000 }), resource("b")] })
    const members = new Members(simulator, url)
    for (let i = 0; i < count; i++) members.join()
    return members
  }

  join(): LoadBalancerClient {
    const lb = createLoadBalancer({
      resources: this.simulator.resources.map((started) => started.config()),
      health: { check: { kind: "none" } },
      fleet: { redis: this.url }
    }, { warnings: false })
    void (async () => {
      for await (const event of lb.events()) {
        if (event._tag === "FleetLost") this.events.push(`lost: ${event.reason}`)
        if (event._tag === "FleetJoined") this.events.push("joined")
      }
    })()
    this.all.push(lb)
    return lb
  }

  /** Waits until something holds of every member. */
  async until(what: string, holds: (lb: LoadBalancerClient) => boolean, within = 15_000): Promise<void> {
    const end = performance.now() + within
    while (!this.all.every(holds)) {
      if (performance.now() > end) {
        const fleets = this.all.map((lb) => JSON.stringify(lb.snapshot().fleet))
        throw new Error(`never ${what}: ${fleets.join(" ")}; ${this.events.join(", ")}`)
      }
      await pause(20)
    }
  }

  heard(members: number): Promise<void> {
    return this.until(`heard ${members}`, (lb) => lb.snapshot().fleet!.members === members)
  }

  lost(): Promise<void> {
    return this.until("lost", (lb) => !lb.snapshot().fleet!.isHeard)
  }

  /** All agree on what was used of each deployment, and it is not nothing. */
  agree(): Promise<void> {
    return this.until("agreed", (lb) => {
      const { deployments, fleet } = lb.snapshot()
      return deployments.every(({ id, tokens }) => {
        const share = fleet!.shares.find(({ deployment }) => deployment === id)
        return share !== undefined && share.tokens > share.ownTokens && share.ownTokens > 0 && tokens.byOthers > 0
      })
    })
  }

  /** Nobody's request failed, or waited. */
  assertUnharmed(): void {
    assert.deepStrictEqual(this.failed, [])
    assert.isAbove(this.took.length, 20)
    assert.isAtMost(this.took.filter((millis) => millis > PROMPT).length, FEW * this.took.length)
    assert.isBelow(Math.max(...this.took), LONGEST)
  }

  private async ask(): Promise<void> {
    for (let i = 0; !this.isOver; i++) {
      await pause(10)
      const lb = this.all[i % Math.max(1, this.all.length)]
      if (lb === undefined) continue
      const began = performance.now()
      lb.openai.chat.completions.create(hello).then(
        () => this.took.push(performance.now() - began),
        (error: unknown) => this.isOver || !this.all.includes(lb) ? undefined : this.failed.push(error)
      )
    }
  }

  async leave(lb: LoadBalancerClient): Promise<void> {
    this.all.splice(this.all.indexOf(lb), 1)
    await pause(50)
    await lb.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isOver = true
    await this.traffic
    await Promise.all(this.all.map((lb) => lb.close()))
    await this.simulator.close()
  }
}

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** What takes ten seconds and more is for the full run. */
const long = it.skipIf(!isFull)

describe.skipIf(!hasRedis)("a fleet over a real Redis", () => {
  long("hears of members that come, and no more of those that went", { timeout }, async () => {
    await using server = await RedisServer.start()
    await using members = await Members.start(server.url, 2)
    await members.heard(2)
    await members.agree()
    const third = members.join()
    await members.heard(3)
    await members.leave(third)
    await members.heard(2)
    members.assertUnharmed()
  })

  it("begins alone where the store is down, and joins when it comes", { timeout }, async () => {
    await using server = await RedisServer.later()
    await using members = await Members.start(server.url, 2)
    await members.until("lost", () => members.events.length === 2)
    await pause(300)
    await server.up()
    await members.heard(2)
    await members.agree()
    assert.deepStrictEqual(members.events.map((event) => event.slice(0, 6)), ["lost: ", "lost: ", "joined", "joined"])
    members.assertUnharmed()
  })

  it("goes on alone when the store is killed, and together when it was started again, with nothing in it", {
    timeout
  }, async () => {
    await using server = await RedisServer.start()
    await using members = await Members.start(server.url, 2)
    await members.agree()
    await server.kill()
    await members.lost()
    await server.up()
    await members.heard(2)
    await members.agree()
    members.assertUnharmed()
  })

  long("waits for no store that hangs, not even to close", { timeout }, async () => {
    await using server = await RedisServer.start()
    await using members = await Members.start(server.url, 3)
    await members.agree()
    server.pause()
    await members.lost()
    const began = performance.now()
    await members.leave(members.all[0]!)
    assert.isBelow(performance.now() - began, LONGEST)
    server.resume()
    await members.heard(2)
    members.assertUnharmed()
  })

  it("goes on alone while the store is full", { timeout }, async () => {
    await using server = await RedisServer.start("--maxmemory-policy", "noeviction")
    await using members = await Members.start(server.url, 2)
    await members.agree()
    await server.command("CONFIG", "SET", "maxmemory", "1")
    await members.lost()
    assert.include(members.events.join(), "OOM")
    await server.command("CONFIG", "SET", "maxmemory", "0")
    await members.heard(2)
    members.assertUnharmed()
  })

  it("follows the store to a replica", { timeout }, async () => {
    await using first = await RedisServer.start()
    await using second = await RedisServer.start("--replicaof", "127.0.0.1", String(first.port))
    await using proxy = await Proxy.start(first.port)
    await using members = await Members.start(proxy.url, 2)
    await members.agree()
    // while the name still leads to what takes no writes, and when it is promoted
    proxy.target = second.port
    proxy.cut()
    await members.lost()
    await second.command("REPLICAOF", "NO", "ONE")
    await first.kill()
    await members.heard(2)
    await members.agree()
    members.assertUnharmed()
  })

  long("bears a network that is slow, and one that breaks all the time", { timeout }, async () => {
    await using server = await RedisServer.start()
    await using proxy = await Proxy.start(server.port)
    await using members = await Members.start(proxy.url, 2)
    await members.agree()
    proxy.delay = 200
    await pause(1000)
    await members.heard(2)
    proxy.delay = 5000
    await members.lost()
    proxy.delay = 0
    proxy.cut()
    await members.heard(2)
    for (let i = 0; i < 10; i++) {
      proxy.cut()
      await pause(100)
    }
    await members.heard(2)
    members.assertUnharmed()
  })

  it("goes on alone where somebody's junk is under its keys", { timeout }, async () => {
    await using server = await RedisServer.start()
    await server.command("SET", "evenkeel:{gpt-4o}:marks", "somebody's")
    await using members = await Members.start(server.url, 2)
    await members.until("lost", () => members.events.length >= 2)
    assert.include(members.events.join(), "WRONGTYPE")
    assert.include(await server.command("GET", "evenkeel:{gpt-4o}:marks"), "somebody's")
    await server.command("DEL", "evenkeel:{gpt-4o}:marks")
    await members.heard(2)
    members.assertUnharmed()
  })

  it("tells whose a stored response is, so that it is found from any process at once", { timeout }, async () => {
    await using server = await RedisServer.start()
    await using members = await Members.start(server.url, 2)
    await members.heard(2)
    const [one, other] = members.all as [LoadBalancerClient, LoadBalancerClient]
    const made = await Promise.all(
      Array.from({ length: 6 }, () => one.openai.responses.create({ model: "gpt-4o", input: "hello", store: true }))
    )
    await pause(2500)
    const sends: Array<string> = []
    void (async () => {
      for await (const event of other.events()) {
        if (event._tag === "AttemptEnded" && event.operation === "other") sends.push(event.attempt.outcome)
      }
    })()
    for (const { id } of made) await other.openai.responses.retrieve(id)
    await pause(50)
    assert.deepStrictEqual(sends, made.map(() => "success"))
  })
})
