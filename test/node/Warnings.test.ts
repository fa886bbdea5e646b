import { EventHub } from "#core/EventHub"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import type { CheckReport, CheckResult, ConfigInput } from "@evenkeel/core"
import { type BalancerWarning, createLoadBalancer } from "@evenkeel/node"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { runChild } from "../support/Child.ts"
import { eventually, fast, hello, resource, serve } from "../support/Served.ts"

const eager = { failover: { backoff: 1, maxBackoff: 1, budgetPerSecond: 100 }, health: { openFor: 1, maxOpenFor: 1 } }

/** A server on a port of this machine. */
const listening = async (server: ReturnType<typeof createServer>) => {
  await once(server.listen(0, "127.0.0.1"), "listening")
  return { server, port: (server.address() as AddressInfo).port }
}

/** What is to be done about a resource there. */
const cureAt = async (endpoint: string, proxy?: string) => {
  const deployments = [{ name: "m" }]
  const lb = createLoadBalancer({ resources: [{ name: "r", provider: "compatible", endpoint, proxy, deployments }] })
  const report = await lb.check()
  await lb.close()
  return report.results[0]!.cure!
}

const collected = () => {
  const warnings: Array<BalancerWarning> = []
  return { warnings, options: { warnings: (warning: BalancerWarning) => void warnings.push(warning) } }
}

describe("a fleet of which a part is wrong", () => {
  it("is told of once for each resource and cause, with host, cause and cure", async () => {
    const { options, warnings } = collected()
    await using served = await serve([resource("east"), resource("west")], eager, options)
    served.service("east").setCredentials({ apiKey: "changed" })
    for (let i = 0; i < 300 && served.stats("east").unauthorized < 5; i++) {
      await served.lb.openai.chat.completions.create(hello)
    }
    assert.isAbove(served.stats("east").unauthorized, 0)
    assert.lengthOf(warnings, 1, JSON.stringify(warnings))
    const [warning] = warnings
    assert.deepInclude(warning, { code: "EVENKEEL_RESOURCE", name: "east", host: "127.0.0.1" })
    assert.match(warning!.cause, /^http 401/)
    assert.match(warning!.cure, /check `apiKey`/)
    assert.match(
      warning!.message,
      /^The resource "east" at 127\.0\.0\.1 fails \(http 401.*\), and gets no traffic\. Its key/
    )
    assert.notInclude(JSON.stringify(warning), "east-key")
  })

  it("is told of for a deployment that does not exist", async () => {
    const { options, warnings } = collected()
    await using served = await serve([resource("east"), resource("west")], eager, options)
    served.service("east").fault("gpt", { kind: "status", error: "deployment-not-found" })
    for (let i = 0; i < 6; i++) {
      await served.lb.openai.chat.completions.create(hello)
    }
    assert.deepStrictEqual(warnings.map(({ cause, code, name }) => [code, name, cause]), [
      ["EVENKEEL_DEPLOYMENT", "east/gpt", "missing"]
    ])
    assert.match(warnings[0]!.message, /"east\/gpt" at 127\.0\.0\.1 does not exist.*`name`/)
  })

  it("is told of by a check that nothing asked for", async () => {
    const { options, warnings } = collected()
    await using served = await serve([resource("east")], { health: { check: { interval: 20 } } }, options)
    served.service("east").setCredentials({ apiKey: "changed" })
    await eventually(() => warnings.length > 0)
    assert.deepInclude(warnings[0], { name: "east", cause: "http 401" })
  })

  it("is watched for at no cost: no event of the hot path is built for it", () => {
    const hub = new EventHub(() => 0)
    const stop = hub.watch(() => {})
    assert.isFalse(hub.hasListeners)
    assert.isTrue(hub.hasTroubleListeners)
    stop()
    assert.isFalse(hub.hasTroubleListeners)
  })

  for (
    const [how, expected] of [["default", /\[EVENKEEL_RESOURCE\] EvenkeelWarning: The resource "east"/], [
      "off",
      /^$/
    ]] as const
  ) {
    it(`is told of on stderr as Node's own warnings are: ${how}`, async () => {
      await using simulator = await startSimulator({
        resources: ["east", "west"].map((name) => ({
          name,
          deployments: [{ name: "gpt", model: "gpt-4o", latency: fast }]
        }))
      })
      const ended = await runChild("warned", [how, ...simulator.resources.map(({ url }) => url)])
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.match(ended.stderr, expected)
      assert.notInclude(ended.stderr, "wrong-key")
      assert.lengthOf(ended.stderr.match(/EvenkeelWarning/g) ?? [], how === "off" ? 0 : 1)
    }, 20_000)
  }
})

const warningsOf = ({ results }: CheckReport) =>
  Object.fromEntries(results.filter(({ kind }) => kind === "deployment").map(({ name, warnings }) => [name, warnings]))

const stateOf = ({ limits, model, state }: CheckResult) => ({ limits, model, state })

describe("lb.check()", () => {
  it("looks at every resource, busy ones too, and says what is wrong and what to do", async () => {
    await using served = await serve([resource("east"), resource("west")], {}, { warnings: false })
    await served.lb.openai.chat.completions.create(hello)
    const fine = await served.lb.check()
    assert.isTrue(fine.ok)
    // one of the two was asked by now
    assert.deepStrictEqual(fine.results.map(({ isAsked }) => isAsked).toSorted(), [false, true, true, true])
    assert.match(String(fine), /\/gpt \(127\.0\.0\.1\): not asked yet; `completion: true` asks it for one token/)
    assert.deepStrictEqual(fine.results.map(({ kind, name }) => [kind, name]), [
      ["resource", "east"],
      ["deployment", "east/gpt"],
      ["resource", "west"],
      ["deployment", "west/gpt"]
    ])
    served.service("west").setCredentials({ apiKey: "changed" })
    const wrong = await served.lb.check()
    assert.isFalse(wrong.ok)
    const [east, , west] = wrong.results
    assert.deepInclude(east, { host: "127.0.0.1", ok: true, problem: undefined, cure: undefined })
    assert.deepInclude(west, { ok: false, problem: "http 401" })
    assert.match(west!.cure!, /check `apiKey`/)
    assert.match(
      String(wrong),
      /^east \(127\.0\.0\.1\): ok\n {2}east\/gpt .*\nwest \(127\.0\.0\.1\): http 401\. Its key/
    )
    assert.notInclude(String(wrong), "west-key")
  })

  it("finds deployments that do not exist where it may ask them for a token", async () => {
    await using served = await serve([resource("east")], {}, { warnings: false })
    served.service("east").fault("gpt", { kind: "status", error: "deployment-not-found" })
    assert.isTrue((await served.lb.check()).ok)
    const { results } = await served.lb.check({ completion: true })
    assert.deepStrictEqual(results.map(({ name, problem }) => [name, problem]), [
      ["east", undefined],
      ["east/gpt", "missing"]
    ])
    assert.match(results[1]!.cure!, /`name`/)
    // and what is known is told without asking
    assert.strictEqual((await served.lb.check()).results[1]!.problem, "missing")
  })

  it("tells what state each is in, what its headers told of its limits, and how long it took", async () => {
    await using served = await serve(
      [
        resource("east", { tpm: 30_000, rpm: 180 }),
        resource("west", { tpm: 30_000 }),
        resource("gone")
      ],
      {},
      { warnings: false }
    )
    served.service("west").fault("gpt", { kind: "throttle", retryAfterMs: 20_000 })
    await served.simulator.down("gone")
    const none = { tokens: undefined, requests: undefined }
    const free = await served.lb.check()
    assert.deepStrictEqual(free.results.slice(0, 2).map(stateOf), [
      { limits: none, model: undefined, state: "ok" },
      { limits: none, model: "gpt-4o", state: "not asked" }
    ])
    assert.isUndefined(free.results[1]!.duration)
    const { results } = await served.lb.check({ completion: true })
    assert.deepStrictEqual(results.map(stateOf), [
      { limits: none, model: undefined, state: "ok" },
      { limits: { tokens: 30_000, requests: 180 }, model: "gpt-4o", state: "ok" },
      { limits: none, model: undefined, state: "ok" },
      { limits: none, model: "gpt-4o", state: "throttled" },
      { limits: none, model: undefined, state: "failed" },
      { limits: none, model: "gpt-4o", state: "failed" }
    ])
    assert.isAbove(results[1]!.duration!, 0)
    assert.isUndefined(results[5]!.duration, "whose resource cannot be reached is not asked")
  })

  it("fails a resource whose list of models is answered with a 5xx, and asks its deployments all the same", async () => {
    await using served = await serve([resource("east")], {}, { warnings: false })
    served.service("east").fault("*", { kind: "status", status: 503, when: { path: "/models" } })
    const free = await served.lb.check()
    assert.isFalse(free.ok)
    assert.deepInclude(free.results[0], { ok: false, state: "failed", problem: "http 503", warnings: [] })
    assert.match(free.results[0]!.cure!, /status page/)
    assert.deepInclude(free.results[1], { ok: true, state: "not asked" })
    const { results } = await served.lb.check({ completion: true })
    assert.deepStrictEqual(results.map(({ state }) => state), ["failed", "ok"])
    const { resources } = await served.lb.snapshot()
    assert.strictEqual(resources[0]!.state, "healthy")
  })

  it("warns where the list of models is not there, until a request has shown that all is right", async () => {
    await using served = await serve([resource("east")], {}, { warnings: false })
    for (const status of [404, 405, 501, 302]) {
      served.service("east").clear()
      served.service("east").fault("*", { kind: "status", status, when: { path: "/models" } })
      const report = await served.lb.check()
      assert.isTrue(report.ok)
      assert.deepInclude(report.results[0], { ok: true, state: "ok", problem: undefined })
      assert.deepStrictEqual(report.results[0]!.warnings, [
        `http ${status} for /models. It knows no such path: check \`endpoint\` and \`apiVersion\`.`
      ])
      assert.match(String(report), /^east \(127\.0\.0\.1\): ok; http \d+ for \/models\. It knows no such path/)
    }
    const { results } = await served.lb.check({ completion: true })
    assert.deepStrictEqual(results.map(({ state, warnings }) => [state, warnings]), [["ok", []], ["ok", []]])
  })

  it("only hints at it for a service that need not have one, and names a path of yours", async () => {
    const none = createServer((_, response) => response.writeHead(404).end())
    const { port, server } = await listening(none)
    try {
      const warningsWith = async (health: ConfigInput["health"]) => {
        const endpoint = `http://127.0.0.1:${port}/v1`
        const deployments = [{ name: "m" }]
        const lb = createLoadBalancer({
          resources: [{ name: "r", provider: "compatible", endpoint, deployments }],
          health
        })
        const { ok, results } = await lb.check()
        await lb.close()
        assert.isTrue(ok)
        return results[0]!.warnings
      }
      assert.deepStrictEqual(await warningsWith({}), [
        "http 404 for /models, which not every service has: check `endpoint` if requests fail too."
      ])
      assert.deepStrictEqual(await warningsWith({ check: { kind: "path", path: "/ping" } }), [
        "http 404 for /ping. It knows no such path: check `endpoint` and `health.check.path`."
      ])
    } finally {
      server.close()
    }
  })

  it("warns where the service's headers tell of other limits than are configured", async () => {
    const limits = { tpm: 30_000, rpm: 180 }
    await using served = await serve(
      [resource("more", limits), resource("less", limits), resource("same", limits), resource("none", limits)],
      {
        each: (given) => {
          const own = { more: { tpm: 60_000, rpm: 200 }, less: { tpm: 10_000 }, same: limits, none: {} }
          return { ...given, deployments: [{ name: "gpt", model: "gpt-4o", ...own[given.name as keyof typeof own] }] }
        }
      },
      { warnings: false }
    )
    const nothing = { "more/gpt": [], "less/gpt": [], "same/gpt": [], "none/gpt": [] }
    assert.deepStrictEqual(warningsOf(await served.lb.check()), nothing)
    const asked = await served.lb.check({ completion: true })
    assert.isTrue(asked.ok)
    const found = {
      ...nothing,
      "more/gpt": [
        "The service allows less: 30,000 tokens a minute, where `tpm` is 60,000. Its limit is kept to.",
        "The service allows less: 180 requests a minute, where `rpm` is 200. Its limit is kept to."
      ],
      "less/gpt": [
        "You use less than you have: the service allows 30,000 tokens a minute, where `tpm` is 10,000."
      ]
    }
    assert.deepStrictEqual(warningsOf(asked), found)
    assert.deepStrictEqual(warningsOf(await served.lb.check()), found)
  })

  it("asks a `*` for no model of others", async () => {
    await using served = await serve([resource("east"), resource("any", { name: "o3", model: "o3" })], {
      each: (given) => given.name === "any" ? { ...given, provider: "compatible", deployments: [{ name: "*" }] } : given
    }, { warnings: false })
    const { results } = await served.lb.check({ completion: true })
    assert.deepStrictEqual(results.map(({ name, state }) => `${name} ${state}`), [
      "east ok",
      "east/gpt ok",
      "any ok",
      "any/* not asked"
    ])
  })

  it("takes no option that there is not", async () => {
    await using served = await serve([resource("east")], {}, { warnings: false })
    const error = await served.lb.check({ completions: true } as object).then(() => undefined, String)
    assert.match(error ?? "", /options\.completions: unknown key; did you mean `completion`\?/)
  })

  it("knows the cure of a server without TLS, and of a proxy that wants a password", async () => {
    const plain = await listening(createServer((_, response) => response.end("no TLS here")))
    const proxy = await listening(
      createServer().on("connect", (_, socket) => {
        socket.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
      })
    )
    try {
      assert.match(await cureAt(`https://127.0.0.1:${plain.port}/v1`), /speaks no TLS/)
      assert.match(await cureAt("https://service.example/v1", `http://127.0.0.1:${proxy.port}`), /name and password/)
    } finally {
      plain.server.close()
      proxy.server.close()
    }
  })

  it("tells of what cannot be reached, and of what is closed", async () => {
    const lb = createLoadBalancer({
      resources: [{
        name: "gone",
        provider: "compatible",
        endpoint: "http://127.0.0.1:9/v1",
        deployments: [{ name: "m" }]
      }],
      health: { check: { kind: "none" } }
    })
    const { results } = await lb.check()
    assert.match(results[0]!.problem!, /^connect/)
    assert.match(results[0]!.cure!, /cannot be reached/)
    await lb.close()
    const error = await lb.check().then(() => undefined, (cause: unknown) => cause)
    assert.match(String(error), /the load balancer was closed/)
  })
})
