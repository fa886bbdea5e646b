import type { Status } from "#node/gateway/OperatorPages"
import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { readdirSync } from "node:fs"
import {
  count,
  duration,
  healthOf,
  millis,
  modelsOf,
  money,
  ratesOf
} from "../../../packages/node/src/gateway/page/model.js"
import { gated } from "../../support/Gated.ts"
import { fast } from "../../support/Served.ts"

const deployments = [{ name: "gpt", model: "gpt-4o", latency: fast }]
const keys = ["a", "b"].map((name) => ({
  name,
  sha256: createHash("sha256").update(`secret-of-${name}`).digest("hex"),
  operator: name === "b"
}))

const folder = new URL("../../../packages/node/src/gateway/page/", import.meta.url)
const assets = readdirSync(folder).map((name) => name === "page.html" ? "/" : `/page/${name}`)

describe("the page", () => {
  it("is given out without a key, with what keeps it to itself", async () => {
    await using gateway = await gated([{ name: "east", deployments }], { gateway: { keys } })
    for (const path of assets) {
      const response = await fetch(gateway.url + path)
      assert.strictEqual(response.status, 200, path)
      const policy = response.headers.get("content-security-policy") ?? ""
      for (
        const part of [
          "default-src 'none'",
          "script-src 'self'",
          "style-src 'self'",
          "connect-src 'self'",
          "img-src 'self' data:",
          "frame-ancestors 'none'",
          "base-uri 'none'",
          "form-action 'none'",
          "require-trusted-types-for 'script'"
        ]
      ) assert.include(policy.split("; "), part)
      assert.strictEqual(response.headers.get("x-content-type-options"), "nosniff")
      assert.strictEqual(response.headers.get("referrer-policy"), "no-referrer")
      const kind = path === "/" ? "html" : path.endsWith(".css") ? "css" : "javascript"
      assert.strictEqual(response.headers.get("content-type"), `text/${kind}; charset=utf-8`)
      const text = await response.text()
      // nothing from elsewhere, nothing inline, no data
      assert.notMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), /https?:/, path)
      assert.notMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/, path)
      assert.notInclude(text, "gpt-4o")
      if (path === "/") assert.notMatch(text, / style=| on[a-z]+=|<style|<script(?! type="module" src="page\/)/)
    }
  })

  it("has its data for operators alone", async () => {
    await using gateway = await gated([{ name: "east", deployments }], { gateway: { keys } })
    const statusOf = async (path: string, key?: string) =>
      (await fetch(gateway.url + path, {
        headers: key === undefined ? {} : { authorization: `Bearer secret-of-${key}` }
      }))
        .status
    for (const path of ["/status", "/decisions", "/decisions?brief&after=0"]) {
      const seen = await Promise.all([statusOf(path), statusOf(path, "a"), statusOf(path, "b")])
      assert.deepStrictEqual(seen, [401, 403, 200], path)
    }
  })

  it("is on the operators' port too, takes HEAD, and nothing that writes", async () => {
    await using gateway = await gated([{ name: "east", deployments }], { gateway: { operator: { port: 0 } } })
    await Promise.all([gateway.url, gateway.gateway.operatorUrl].map(async (url) => {
      const head = await fetch(`${url}/`, { method: "HEAD" })
      assert.deepStrictEqual([head.status, await head.text()], [200, ""])
      assert.strictEqual((await fetch(`${url}/`, { method: "POST" })).status, 405)
      assert.strictEqual((await fetch(`${url}/page/..%2fPage.ts`)).status, 404)
    }))
  })
})

const mark = (at: number, requests: number, more: object = {}) => ({
  at,
  requests,
  unanswered: 0,
  rejected: 0,
  interrupted: 0,
  failovers: 0,
  throttled: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  cost: 0,
  unpriced: 0,
  firstToken: undefined,
  ...more
})

const statusOf = (gateway: object, more: object = {}) =>
  ({ deployments: [], models: [], ...more, gateway: { isDraining: false, ...gateway } }) as unknown as Status

const tokens = { used: 50, limit: 100, byOthers: 0 }

describe("the figures of a status", () => {
  it("are those of the last minute, or of as much of it as there was", () => {
    const history = [mark(0, 0), mark(60_000, 100), mark(65_000, 110), mark(120_000, 150)]
    const rates = ratesOf(
      statusOf({ at: 125_000, history, totals: mark(125_000, 160, { promptTokens: 80, cachedTokens: 20, cost: 0.1 }) })
    )
    assert.include(rates, { requests: 50, tokens: 80, cachedShare: 0.25, cost: 6 })
    assert.strictEqual(ratesOf(statusOf({ at: 1, history: [mark(0, 0)], totals: mark(1, 1) })).requests, 12)
    const unpriced = mark(60_000, 1, { unpriced: 1, promptTokens: 1 })
    assert.isUndefined(ratesOf(statusOf({ at: 60_000, history: [mark(0, 0)], totals: unpriced })).cost)
  })

  it("say in one line how everything is, the worst first", () => {
    const of = (...states: ReadonlyArray<string>) =>
      healthOf(
        statusOf({}, {
          models: [{ name: "m", waiting: 0 }],
          deployments: states.map((state) => ({ state, model: "m", latency: 1, utilisation: 0, warmth: 1 }))
        })
      )
    assert.deepStrictEqual(of("healthy"), { level: "good", text: "Healthy" })
    assert.deepStrictEqual(of("healthy", "healthy"), { level: "good", text: "All 2 deployments healthy" })
    assert.deepStrictEqual(of("cooling-down", "healthy", "open"), {
      level: "warning",
      text: "1 out, 1 throttled of 3 deployments"
    })
    assert.deepStrictEqual(of("open", "cooling-down"), { level: "bad", text: "No usable deployment for m" })
    assert.strictEqual(healthOf(statusOf({ isDraining: true })).level, "warning")
  })

  it("count a shared quota once", () => {
    const [model] = modelsOf(
      statusOf({}, {
        models: [{ name: "m", waiting: 2 }],
        deployments: ["p", "p", undefined].map((pool, id) => ({ id, pool, model: "m", state: "healthy", tokens }))
      })
    )
    assert.deepStrictEqual(model, {
      name: "m",
      waiting: 2,
      deployments: 3,
      healthy: 3,
      used: 100,
      limit: 200,
      usedOfLimit: 100
    })
  })

  it("are written shortly", () => {
    assert.deepStrictEqual([0, 0.4, 7, 1204, 12_345, 99_960, 1_240_000, 12_400_000].map(count), [
      "0",
      "0.4",
      "7",
      "1,204",
      "12.3k",
      "100k",
      "1.24M",
      "12.4M"
    ])
    assert.deepStrictEqual([undefined, 7.4, 999.6, 12_345].map(millis), ["–", "7 ms", "1.0 s", "12 s"])
    assert.deepStrictEqual([undefined, 0, 0.0042, 3.2, 1240.4].map(money), ["–", "$0", "$0.0042", "$3.20", "$1,240"])
    assert.deepStrictEqual([900, 150_000, 11_100_000, 273_600_000].map(duration), [
      "1 s",
      "2 min",
      "3 h 5 min",
      "3 d 4 h"
    ])
  })
})
