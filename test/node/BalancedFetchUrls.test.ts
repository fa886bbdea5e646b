import { assert, describe, it } from "@effect/vitest"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { balancing, base, completion, hello, post, service, within } from "../support/PlainBalancer.ts"
import { json, listen, type PlainServer } from "../support/PlainServer.ts"
import { messages } from "../support/Served.ts"

const version = "2024-10-21"

/** A resource of Azure's classic API. */
const classic = (name: string, address: string, more: object = {}): ConfigInput["resources"][number] => ({
  name,
  provider: "azure",
  endpoint: address,
  apiVersion: version,
  apiKey: `${name}-key`,
  deployments: [{ name: "m", ...more }]
})

const list = () => listen((_, response) => json(response, { object: "list", data: [] }))

/** Where a request of a server went. */
const urlOf = ({ received }: PlainServer, i = 0): URL => new URL(received[i]!.url, "http://127.0.0.1")

describe("a key in a URL", () => {
  for (
    const name of [
      "api-key",
      "Api-Key",
      "key",
      "subscription-key",
      "code",
      "sig",
      "access_token",
      "api%2Dkey",
      "%61pi-key"
    ]
  ) {
    it(`is sent to no resource, and what is beside it is: ${name}`, async () => {
      await using a = await listen((_, response) => json(response, {}, 500))
      await using b = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("a", a.url), service("b", b.url, { tier: 2 })))
      const response = await lb.fetch(`${a.url}/v1/chat/completions?x=1&${name}=THE-KEY&y=2`, post(hello))
      assert.strictEqual(response.status, 200)
      for (const server of [a, b]) {
        assert.notInclude(server.received[0]!.url, "THE-KEY")
        assert.strictEqual(urlOf(server).search, "?x=1&y=2")
      }
    })
  }
})

describe("a URL of Azure's classic API", () => {
  it("is served by another resource with a deployment of that model", async () => {
    await using east = await listen((_, response) => json(response, {}, 500))
    await using west = await listen(completion)
    await using lb = createLoadBalancer(
      balancing(
        classic("east", east.url, { name: "served", model: "best" }),
        classic("west", west.url, { name: "other", model: "best", tier: 2 })
      )
    )
    const url = `${east.url}/openai/deployments/served/chat/completions?api-version=${version}`
    assert.strictEqual((await lb.fetch(url, post({ messages }))).status, 200)
    assert.strictEqual(urlOf(west).pathname, "/openai/deployments/other/chat/completions")
  })

  it("is obeyed, whatever model its body names, as Azure does", async () => {
    await using east = await listen(completion)
    const deployments = [{ name: "served", model: "best" }, { name: "m" }]
    await using lb = createLoadBalancer(balancing({ ...classic("east", east.url), deployments }))
    const url = `${east.url}/openai/deployments/served/chat/completions`
    // "m" is served; the other is the default of a client that was told only the deployment
    for (const model of ["m", "gpt-3.5-turbo"]) {
      assert.strictEqual((await lb.fetch(url, post({ ...hello, model }))).status, 200)
    }
    const paths = east.received.map((_, i) => urlOf(east, i).pathname)
    assert.deepStrictEqual(new Set(paths), new Set(["/openai/deployments/served/chat/completions"]))
    assert.deepStrictEqual(east.received.map(({ body }) => JSON.parse(String(body)).model), ["served", "served"])
  })

  it("names a deployment of any resource, whichever base it has", async () => {
    await using east = await listen(completion)
    await using west = await listen(completion)
    await using lb = createLoadBalancer(
      balancing(
        classic("east", east.url, { name: "chat-prod", model: "gpt-4o" }),
        classic("west", west.url, { name: "chat-eu", model: "gpt-4o", tier: 2 })
      )
    )
    for (const { url } of [east, west]) {
      const asked = `${url}/openai/deployments/chat-prod/chat/completions?api-version=${version}`
      assert.strictEqual((await lb.fetch(asked, post({ messages, model: "chat-prod" }))).status, 200)
    }
    assert.lengthOf(east.received, 2)
  })

  it("is obeyed for a form too", async () => {
    await using east = await listen((_, response) => json(response, { text: "Hello." }))
    const deployments = [{ name: "served", model: "whisper" }, { name: "m" }]
    await using lb = createLoadBalancer(balancing({ ...classic("east", east.url), deployments }))
    const form = new FormData()
    form.append("file", new File(["RIFF"], "x.wav"))
    form.append("model", "m")
    const url = `${east.url}/openai/deployments/served/audio/transcriptions`
    assert.strictEqual((await lb.fetch(url, { method: "POST", body: form })).status, 200)
    assert.strictEqual(urlOf(east).pathname, "/openai/deployments/served/audio/transcriptions")
  })

  it("fills in the model of a form that names none", async () => {
    await using east = await listen((_, response) => json(response, { text: "Hello." }))
    await using lb = createLoadBalancer(balancing(classic("east", east.url, { name: "served", model: "whisper" })))
    const form = new FormData()
    form.append("file", new File(["RIFF"], "x.wav"))
    const url = `${east.url}/openai/deployments/served/audio/transcriptions?api-version=${version}`
    const response = await lb.fetch(url, { method: "POST", body: form })
    assert.deepStrictEqual([response.status, await response.json()], [200, { text: "Hello." }])
    assert.strictEqual(urlOf(east).pathname, "/openai/deployments/served/audio/transcriptions")
    assert.strictEqual(lb.snapshot().deployments[0]!.totals.succeeded, 1)
  })

  it("that cannot be decoded is refused, and nothing is sent", async () => {
    await using east = await listen(completion)
    await using lb = createLoadBalancer(balancing(classic("east", east.url)))
    const asking = within(lb.fetch(`${east.url}/openai/deployments/%zz/chat/completions`, post(hello)))
    assert.propertyVal(await asking, "status", 400)
    assert.lengthOf(east.received, 0)
  })
})

describe("a version of the API", () => {
  const versioned = [
    "/openai/v1/models?api-version=preview",
    `/openai/models?api-version=${version}`,
    "/openai/models?API-Version=2023-05-15&limit=1"
  ]
  for (const path of versioned) {
    it(`is the resource's own, and given once: ${path}`, async () => {
      await using east = await list()
      await using lb = createLoadBalancer(balancing(classic("east", east.url)))
      assert.strictEqual((await lb.fetch(`${east.url}${path}`)).status, 200)
      const parameters = [...urlOf(east).searchParams].filter(([name]) => name.toLowerCase() === "api-version")
      assert.deepStrictEqual(parameters, [["api-version", version]])
    })
  }

  it("is kept where a fragment follows the query", async () => {
    await using east = await list()
    await using lb = createLoadBalancer(balancing(classic("east", east.url)))
    await lb.fetch(`${base}/models?limit=1#x`)
    assert.strictEqual(urlOf(east).search, `?limit=1&api-version=${version}`)
  })

  it("of the caller's is passed on to no resource that has none of its own", async () => {
    await using server = await list()
    const azure = { ...classic("azure", server.url), apiVersion: undefined }
    for (const resource of [service("r", server.url), azure]) {
      await using lb = createLoadBalancer(balancing(resource))
      for (const asked of ["api-version=v1", "API-Version=preview&limit=1"]) await lb.fetch(`${base}/models?${asked}`)
    }
    const searches = server.received.map((_, i) => urlOf(server, i).search)
    assert.deepStrictEqual(searches, ["", "?limit=1", "", "?limit=1"])
  })
})

describe("an address in other words than the configuration's", () => {
  it("is the same: its port is the scheme's own, its host has capitals", async () => {
    await using server = await listen(completion)
    const west = service("w", "https://west.example:443", { name: "other" })
    await using lb = createLoadBalancer(balancing(service("a", server.url), west))
    for (const at of ["https://west.example:443/v1", "https://WEST.example/v1", "https://api.openai.com:443/v1"]) {
      assert.strictEqual((await lb.fetch(`${at}/chat/completions`, post(hello))).status, 200, at)
    }
    const stranger = "https://user@west.example:443/v1/chat/completions"
    assert.strictEqual((await lb.fetch(stranger, post(hello))).status, 400)
    assert.lengthOf(server.received, 3)
  })
})
