import type { Heard, Said } from "#core/fleet/FleetStore"
import { StoreState } from "#core/fleet/StoreState"
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as RedisFleetStore from "#node/RedisFleetStore"
import { assert, describe, it } from "@effect/vitest"
import { EntraTokens, FleetStore, type TokenProvider } from "@evenkeel/core"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { getCACertificates, setDefaultCACertificates } from "node:tls"
import { local } from "../support/Certificates.ts"
import { freePort, hasRedis, hasTls, RedisCluster, RedisServer } from "./RedisServer.ts"

const noTokens = () => () => Promise.reject(new Error("no Entra ID here"))

const storeAt = async (
  url: string,
  more: Partial<Parameters<typeof RedisFleetStore.layer>[0]> = {},
  tokens: (scope: string) => TokenProvider = noTokens
) => {
  const scope = Effect.runSync(Scope.make())
  const layer = RedisFleetStore.layer({
    redis: Redacted.make(url),
    prefix: "test",
    cluster: false,
    auth: undefined,
    ...more
  })
  const withTokens = Layer.provide(layer, Layer.succeed(EntraTokens, tokens))
  const context = await Effect.runPromise(Layer.buildWithScope(withTokens, scope))
  const { exchange } = Context.get(context, FleetStore)
  return {
    /** Tries until it is connected. */
    exchange: async (said: Said): Promise<Heard> => {
      for (let i = 0;; i++) {
        const exit = await Effect.runPromiseExit(exchange(said))
        if (Exit.isSuccess(exit)) return exit.value
        if (i > 100) throw new Error(String(exit.cause))
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
    once: (said: Said) => Effect.runPromiseExit(exchange(said)),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** Trusts one more authority for a while, as `NODE_EXTRA_CA_CERTS` does for as long as the process lives. */
const trusting = (authority: string): Disposable => {
  const before = getCACertificates()
  setDefaultCACertificates([...before, authority])
  return { [Symbol.dispose]: () => setDefaultCACertificates(before) }
}

const nothing: Omit<Said, "member" | "sequence"> = {
  realm: "gpt",
  quotas: [],
  wants: [],
  marks: [],
  rows: [],
  owners: [],
  cursor: ""
}

const quota = (
  key: string,
  record: string,
  uses: Said["quotas"][number]["uses"] = [],
  share = 0,
  told = 0
): Said["quotas"][number] => ({
  key,
  record,
  uses,
  room: { tokens: 10_000, requests: 100, slice: 30 },
  told: { tokens: told, requests: 0 },
  share
})

/** What two stores must agree on: all but the moment. */
const comparable = ({ cursor, marks, members, owners, quotas, rows }: Heard) => ({
  members,
  owners,
  hasCursor: cursor !== "" && cursor !== "0",
  quotas: quotas.map(({ granted, held, requests, share, slice, tokens, told }) => ({
    granted,
    held,
    requests,
    slice,
    tokens,
    told,
    share: Math.round(share * 1e9)
  })),
  marks: marks.map(({ key, kind }) => `${kind} ${key}`).toSorted(),
  rows: rows.map(({ failures, key }) => `${key} ${failures}`).toSorted()
})

describe.skipIf(!hasRedis)("the store over a real Redis", () => {
  it("does what the one in memory does, whatever is said", { timeout: 60_000 }, async () => {
    await using server = await RedisServer.start()
    const store = await storeAt(server.url)
    const random = SeededRandom.make(7)
    const int = (below: number) => Math.floor(random() * below)
    const reference = new StoreState()
    const records = [new Map<string, string>(), new Map<string, string>()] as const
    const sequences = [0, 0, 0]
    const cursors = ["", ""]
    const last: Array<readonly [Said, Said] | undefined> = []
    let offset = 0
    for (let step = 0; step < 400; step++) {
      const member = int(3)
      const keys = ["a/x", "b/y", "c/z"].filter(() => random() < 0.8)
      const isAgain = random() < 0.15 && last[member] !== undefined
      const sequence = isAgain ? sequences[member]! : ++sequences[member]!
      const current = Math.floor((Date.now() + offset) / 250)
      const uses = keys.map(() =>
        Array.from({ length: int(3) }, () => ({
          step: current - int(280) + 6,
          tokens: int(900) - 200,
          requests: int(3) - 1,
          held: int(200) - 100
        }))
      )
      const more = {
        wants: Array.from({ length: int(3) }, () => 1 + int(3000)),
        marks: random() < 0.2
          ? [{
            kind: (["cooldown", "open", "closed", "missing"] as const)[int(4)]!,
            key: keys[0] ?? "a/x",
            for: 100_000
          }]
          : [],
        rows: random() < 0.3 ? [{ key: "a/x", failures: int(4) - 1, answered: random() < 0.3 }] : [],
        owners: random() < 0.2 ? [{ id: `id-${step}`, resource: "a" }] : []
      }
      const sayTo = (which: 0 | 1): Said => ({
        ...nothing,
        ...more,
        member: `m${member}`,
        sequence,
        cursor: cursors[which]!,
        quotas: keys.map((key, i) =>
          quota(key, records[which].get(key) ?? "", uses[i], i === 0 ? 0.9 + (step % 7) / 100 : 0, i * 1000)
        )
      })
      const both = isAgain ? last[member]! : [sayTo(0), sayTo(1)] as const
      last[member] = both
      const real = await store.exchange(both[0])
      offset = real.now - Date.now()
      const inMemory = reference.exchange(both[1], real.now)
      if (!isAgain) {
        cursors[0] = real.cursor
        cursors[1] = inMemory.cursor
      }
      both[0].quotas.forEach(({ key }, i) => {
        records[0].set(key, real.quotas[i]!.record)
        records[1].set(key, inMemory.quotas[i]!.record)
      })
      assert.deepStrictEqual(comparable(real), comparable(inMemory), `step ${step}`)
    }
    await store.close()
  })

  it("keeps nothing for longer than a window, but times that hold and owners", async () => {
    await using server = await RedisServer.start()
    const store = await storeAt(server.url)
    await store.exchange({ ...nothing, member: "m", sequence: 1, quotas: [quota("a/x", "")] })
    for (const name of ["members", "last", "quota:a/x"]) {
      const left = Number((await server.command("PTTL", `test:{gpt}:${name}`)).slice(1))
      assert.isAtMost(left, 62_000, name)
      assert.isAtLeast(left, 55_000, name)
    }
    await store.close()
  })

  it("is not misled by junk under its keys, and leaves what is not its own alone", async () => {
    await using server = await RedisServer.start()
    const store = await storeAt(server.url)
    const key = "test:{gpt}:quota:a/x"
    await server.command("HSET", key, "id", "junk", "t", "lots", "r", "-1", "u5", "x:y", "gone", "nan", "w", "{}")
    await server.command("HSET", "test:{gpt}:marks", "junk", "junk", "open a/x", "soon:then")
    await server.command("HSET", "test:{gpt}:rows", "a/x", "inf:inf")
    await server.command("HSET", "test:{gpt}:last", "m", "not json")
    await server.command("XADD", "test:{gpt}:owners", "*", "who", "knows")
    const heard = await store.exchange({ ...nothing, member: "m", sequence: 1, quotas: [quota("a/x", "")] })
    assert.deepStrictEqual(heard.marks, [])
    assert.deepStrictEqual(heard.rows, [])
    assert.deepStrictEqual(heard.owners, [])
    assert.isAtLeast(heard.quotas[0]!.tokens, 0)
    await server.command("DEL", key)
    await server.command("SET", key, "somebody's")
    const exit = await store.once({ ...nothing, member: "m", sequence: 2, quotas: [quota("a/x", "")] })
    assert.isTrue(Exit.isFailure(exit))
    assert.include(await server.command("GET", key), "somebody's")
    // and works again as soon as that is gone
    await server.command("DEL", key)
    await store.exchange({ ...nothing, member: "m", sequence: 3, quotas: [quota("a/x", "")] })
    await store.close()
  })

  it("shows no password, whatever goes wrong", async () => {
    await using server = await RedisServer.start("--requirepass", "right")
    const store = await storeAt(server.url.replace("//", "//:wrong-secret@"))
    const exit = await store.once({ ...nothing, member: "m", sequence: 1 })
    assert.isTrue(Exit.isFailure(exit))
    assert.notInclude(String(exit), "wrong-secret")
    assert.include(String(exit), "WRONGPASS")
    await store.close()
  })

  it("shows neither a password nor a token to whom a server or a provider repeats it", async () => {
    await using server = await RedisServer.start("--requirepass", "secret-word", "--rename-command", "HELLO", "")
    const failed = async (store: Awaited<ReturnType<typeof storeAt>>) => {
      const exit = String(await store.once({ ...nothing, member: "m", sequence: 1 }))
      await store.close()
      assert.include(exit, "Failure")
      assert.notMatch(exit, /secret/i)
      return exit
    }
    const url = server.url.replace("//", "//:secret-word@")
    assert.include(await failed(await storeAt(url)), "unknown command 'HELLO'")
    const opaque = `opaque-secret.${Buffer.from("secret-part").toString("base64url")}`
    await failed(await storeAt(server.url, { auth: "entra" }, () => () => opaque))
    const wrong = new Error("client_secret=SECRETVALUE1234567890ABCDEFG is wrong")
    const refused = await storeAt(server.url, { auth: "entra" }, () => () => Promise.reject(wrong))
    assert.include(await failed(refused), "no credential")
  })

  it("works with a user of the access list that may touch its prefix alone, in a database of its own", async () => {
    await using server = await RedisServer.start()
    // as docs/fleet.md has it
    const allowed = "+evalsha +eval +time +@hash +@sortedset +@stream +pexpire +@connection".split(" ")
    await server.command("ACL", "SETUSER", "fleet", "on", ">pass", "~test:*", ...allowed)
    const store = await storeAt(server.url.replace("//", "//fleet:pass@").concat("/3"))
    const heard = await store.exchange({ ...nothing, member: "m", sequence: 1, quotas: [quota("a/x", "")] })
    assert.strictEqual(heard.members, 1)
    await store.close()
  })

  it("takes a token of Entra ID for a password, and the token's own object id for the user", async () => {
    await using server = await RedisServer.start()
    const token = `head.${Buffer.from(JSON.stringify({ oid: "an-object-id" })).toString("base64url")}.signature`
    await server.command("ACL", "SETUSER", "an-object-id", "on", `>${token}`, "~test:*", "+@all")
    await server.command("ACL", "SETUSER", "default", "off")
    const store = await storeAt(server.url, { auth: "entra" }, (scope) => () => {
      assert.strictEqual(scope, "https://redis.azure.com/.default")
      return token
    })
    const heard = await store.exchange({ ...nothing, member: "m", sequence: 1 })
    assert.strictEqual(heard.members, 1)
    await store.close()
  })

  it("works on a Cluster, of whose nodes each may have the script or not", { timeout: 60_000 }, async () => {
    await using server = await RedisServer.start("--cluster-enabled", "yes")
    await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    for (let i = 0; i < 100 && !(await server.command("CLUSTER", "INFO")).includes("cluster_state:ok"); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const store = await storeAt(server.url, { cluster: true })
    const quotas = [quota("a/x", ""), quota("b/y", "")]
    const heard = await store.exchange({ ...nothing, member: "m", sequence: 1, quotas })
    await server.command("SCRIPT", "FLUSH")
    const again = await store.exchange({ ...nothing, member: "m", sequence: 2, quotas })
    assert.strictEqual(again.quotas[0]!.record, heard.quotas[0]!.record)
    await store.close()
  })
})

// one after the other: whom a process trusts is the same for all of it
describe.skipIf(!hasRedis || !hasTls)("the store over TLS, and over several nodes", { concurrent: false }, () => {
  it.each(["plain", "tls"] as const)("works over all nodes of a Cluster, %s", async (transport) => {
    await using cluster = await RedisCluster.start(transport)
    using _ = trusting(local.cert)
    const url = `${transport === "tls" ? "rediss" : "redis"}://localhost:${cluster.port}`
    const store = await storeAt(url, { cluster: true })
    for (let i = 0; i < 12; i++) {
      const realm = `model-${i}`
      const heard = await store.exchange({ ...nothing, realm, member: "m", sequence: 1, quotas: [quota("a/x", "")] })
      assert.strictEqual(heard.members, 1, realm)
    }
    // each model's keys are at one of them, and every one has some
    assert.isAbove(Math.min(...await cluster.sizes()), 0)
    await store.close()
  })

  it("works over TLS, with a password", async () => {
    const port = await freePort()
    await using _server = await RedisServer.start("--requirepass", "right", ...RedisServer.withTls(port))
    using _ = trusting(local.cert)
    const store = await storeAt(`rediss://:right@localhost:${port}`)
    assert.strictEqual((await store.exchange({ ...nothing, member: "m", sequence: 1 })).members, 1)
    await store.close()
  })

  it("says what is wrong with a Cluster: that it is one, and why none of its nodes can be had", async () => {
    await using cluster = await RedisCluster.start("tls")
    const untrusted = await storeAt(`rediss://localhost:${cluster.port}`, { cluster: true })
    const mistrust = await untrusted.once({ ...nothing, member: "m", sequence: 1 })
    assert.include(String(mistrust), "SELF_SIGNED_CERT")
    await untrusted.close()
    using _ = trusting(local.cert)
    const single = await storeAt(`rediss://localhost:${cluster.port}`)
    const exits = await Promise.all(
      [0, 1, 2, 3, 4, 5, 6, 7].map((i) => single.once({ ...nothing, realm: `model-${i}`, member: "m", sequence: 1 }))
    )
    assert.include(String(exits.find(Exit.isFailure)), "set `cluster: true`")
    await single.close()
  })
})
