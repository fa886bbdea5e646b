import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import OpenAI, { BadRequestError } from "openai"
import { type Handler, json, listen, type PlainServer } from "../support/PlainServer.ts"
import { failureAs, failureOf, hello, inFlight } from "../support/Served.ts"

const completion = {
  id: "1",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello." }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
}

const answer: Handler = ({ method }, response) =>
  json(response, method === "POST" ? completion : { object: "list", data: [] })

/** A balancer over one Azure resource, which is a server of our own. */
const overAzure = ({ url }: PlainServer, apiVersion?: string) =>
  createLoadBalancer({
    resources: [{
      name: "east",
      provider: "azure",
      endpoint: url,
      apiKey: "east-key",
      apiVersion,
      deployments: [{ name: "gpt", model: "gpt-4o" }]
    }],
    failover: { backoff: 1, maxBackoff: 1 },
    health: { check: { kind: "none" } }
  })

const post = (headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(hello)
})

/** URLs that lead out of the API, each in the words of the resource's own base where it has one. */
const leadingOut = (base: string): ReadonlyArray<string> => [
  "http://elsewhere.example/",
  "https://elsewhere.example/chat/completions",
  "https://api.openai.com@elsewhere.example/v1/chat/completions",
  "https://user:secret@api.openai.com/v1/chat/completions",
  "https://api.openai.com/v2/chat/completions",
  "https://api.openai.com/v1.elsewhere.example/chat",
  "https://api.openai.com/v1",
  "https://api.openai.com/v1/",
  "https://api.openai.com/v1/../admin",
  "https://api.openai.com/v1/%2e%2e/admin",
  "https://api.openai.com/v1/%2E%2E/admin",
  "https://api.openai.com/v1/.%2e/admin",
  "https://api.openai.com/v1/files/..%2f..%2fadmin",
  "https://api.openai.com/v1/files/%2fadmin",
  "https://api.openai.com/v1/files/%252e%252e%252fadmin",
  "https://api.openai.com/v1/files/..%5cadmin",
  "https://api.openai.com/v1/files/x%00y",
  "https://api.openai.com/v1/files/x%0d%0ahost:%20elsewhere",
  "https://api.openai.com/v1/files/%E0%A4%A",
  "https://api.openai.com/v1//elsewhere.example/x",
  "https://api.openai.com/v1/files#/../admin",
  "//elsewhere.example/v1/chat/completions",
  "/v1/chat/completions",
  "file:///etc/passwd",
  "",
  `${base}/../../admin`,
  `${base}/%2e%2e/%2e%2e/admin`,
  base.replace("/openai/v1", "/openaievil/chat/completions"),
  base.replace("http://", "http://user:secret@") + "/chat/completions"
]

describe("a URL that leads out of the API", () => {
  it("is refused by lb.fetch, and nothing is sent", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    for (const url of leadingOut(`${server.url}/openai/v1`)) {
      const response = await lb.fetch(url, post())
      assert.strictEqual(response.status, 400, url)
      const told = await response.text()
      assert.notInclude(told, "secret", url)
      assert.strictEqual((JSON.parse(told) as { error: { type: string } }).error.type, "invalid_request_error")
    }
    assert.strictEqual(server.received.length, 0)
    assert.strictEqual(inFlight(lb), 0)
  })

  it("is refused by lb.openai, and nothing is sent", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    for (
      const path of [
        "https://elsewhere.example/",
        "https://elsewhere.example/admin",
        "//elsewhere.example/models",
        "/../models",
        "/../../admin",
        "/%2e%2e/models",
        "/files/..%2f..%2fadmin",
        "/files/%2e%2e%2fadmin",
        `${server.url}/admin`
      ]
    ) {
      await failureAs(lb.openai.get(path), BadRequestError)
      await failureAs(lb.openai.post(path, { body: hello }), BadRequestError)
    }
    // ids that are paths: the client itself encodes the one and refuses the other
    await failureAs(lb.openai.files.retrieve("../../admin"), BadRequestError)
    assert.throws(() => lb.openai.responses.retrieve(".."))
    assert.strictEqual(server.received.length, 0)
  })

  it("is not what a host can make: of whatever host, the resource is asked, and nobody else", async () => {
    await using elsewhere = await listen(answer)
    await using server = await listen(answer)
    await using lb = overAzure(server)
    const urls = [
      `${elsewhere.url}/v1/chat/completions`,
      `${elsewhere.url}/openai/v1/chat/completions?api-key=secret`,
      `${elsewhere.url}/openai/deployments/gpt/chat/completions?api-version=v1`,
      "https://api.openai.com.elsewhere.example/v1/chat/completions",
      "http://api.openai.com/v1/chat/completions",
      "https://api.openai.com:8443/v1/chat/completions",
      "https://a name/v1/chat/completions"
    ]
    for (const url of urls) {
      const response = await lb.fetch(url, post({ host: "elsewhere.example", authorization: "Bearer caller" }))
      assert.strictEqual(response.status, 200, url)
    }
    await lb.openai.post(`${elsewhere.url}/v1/chat/completions`, { body: hello })
    assert.deepStrictEqual(elsewhere.connections(), { made: 0, open: 0 })
    assert.lengthOf(server.received, urls.length + 1)
    for (const { headers, url } of server.received) {
      assert.strictEqual(url, "/openai/v1/chat/completions")
      assert.deepInclude(headers, { "api-key": "east-key", "host": new URL(server.url).host })
      assert.isUndefined(headers.authorization)
    }
  })

  it("is not what a deployment's name can make", async () => {
    await using server = await listen(answer)
    const name = "../../admin?x=1#y/é"
    await using lb = createLoadBalancer({
      resources: [{
        name: "east",
        provider: "azure",
        endpoint: server.url,
        apiKey: "east-key",
        apiVersion: "2024-10-21",
        deployments: [{ name, model: "gpt-4o" }]
      }],
      health: { check: { kind: "none" } }
    })
    await lb.openai.chat.completions.create(hello)
    assert.deepStrictEqual(server.received.map(({ url }) => url), [
      `/openai/deployments/${encodeURIComponent(name)}/chat/completions?api-version=2024-10-21`
    ])
  })

  it("keeps its query when it does not", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    await lb.fetch(`${server.url}/openai/v1/files?after=file-1&x=%2e%2e%2f`)
    await lb.openai.get("/files", { query: { purpose: "a b&c" } })
    assert.deepStrictEqual(server.received.map(({ url }) => url), [
      "/openai/v1/files?after=file-1&x=%2e%2e%2f",
      "/openai/v1/files?purpose=a%20b%26c"
    ])
  })
})

/** What a caller might set, and what must never arrive. */
const refused = {
  authorization: "Bearer caller",
  "api-key": "caller",
  cookie: "caller=1",
  host: "caller.example",
  "openai-organization": "caller",
  "openai-project": "caller",
  "accept-encoding": "gzip, caller",
  "x-stainless-lang": "caller",
  "x-stainless-retry-count": "caller",
  "x-session-id": "caller",
  "x-forwarded-for": "caller",
  "x-custom": "caller",
  "proxy-authorization": "caller",
  "user-agent": "caller",
  "x-ms-useragent": "caller",
  referer: "https://caller.example",
  origin: "https://caller.example"
}

const allowed = {
  accept: "application/json",
  "accept-language": "de",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "a=b",
  "x-ms-client-request-id": "mine",
  "openai-beta": "assistants=v2"
}

/** Headers that every request has, whoever asks. */
const always = [
  "accept",
  "accept-encoding",
  "api-key",
  "connection",
  "content-length",
  "content-type",
  "host",
  "user-agent"
]

describe("a request header", () => {
  it("arrives if it may cross the border, and not otherwise", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    const headers = { ...refused, ...allowed }
    const foreign = new OpenAI({
      apiKey: "caller",
      organization: "caller",
      project: "caller",
      defaultHeaders: { "x-default": "caller", cookie: "caller" },
      fetch: lb.fetch
    })
    await lb.fetch("https://api.openai.com/v1/chat/completions", post(headers))
    await lb.openai.chat.completions.create(hello, { headers })
    await lb.session("caller").chat.completions.create(hello, { headers })
    await foreign.chat.completions.create(hello, { headers })
    await lb.openai.post("/uploads", { body: { a: 1 }, headers })
    assert.strictEqual(server.received.length, 5)
    const { host } = new URL(server.url)
    for (const { body, headers: arrived } of server.received) {
      assert.notInclude(JSON.stringify([arrived, String(body)]), "caller")
      assert.deepInclude(arrived, { ...allowed, "api-key": "east-key", host, "content-type": "application/json" })
      assert.sameMembers(Object.keys(arrived), [...new Set([...always, ...Object.keys(allowed)])])
    }
  })

  it("is few in number where the caller gave none, as Azure bears but ten of its own", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    await lb.openai.chat.completions.create(hello)
    await lb.openai.models.list()
    for (const { headers } of server.received) {
      assert.isEmpty(Object.keys(headers).filter((name) => name.startsWith("x-")))
    }
  })

  it("cannot begin another", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    await failureOf(
      lb.openai.chat.completions.create(hello, { headers: { traceparent: "a\r\nx-injected: yes" } })
    )
    for (const { headers } of server.received) assert.notProperty(headers, "x-injected")
  })
})

const stream = (items: ReadonlyArray<unknown>) =>
  new ReadableStream({
    start: (controller) => {
      for (const item of items) controller.enqueue(item)
      controller.close()
    }
  })
const init = (body: unknown): RequestInit => ({ ...post(), body: body as BodyInit, duplex: "half" } as RequestInit)

describe("a request body that comes as texts", () => {
  const parts = ["{\"model\":\"gpt-4o\",", "\"messages\":[{\"role\":\"user\",\"content\":\"é\"}]}"]
  async function* iterate() {
    yield* parts
  }
  it("is sent as UTF-8, as the platform's fetch does", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    const url = "https://api.openai.com/v1/chat/completions"
    for (const body of [stream(parts), iterate()]) assert.strictEqual((await lb.fetch(url, init(body))).status, 200)
    assert.strictEqual((await lb.fetch(new Request(url, init(stream(parts))))).status, 200)
    assert.lengthOf(server.received, 3)
    for (const { body } of server.received) assert.include(String(body), "\"content\":\"é\"")
  })

  it("is a TypeError where a part is neither text nor bytes, and nothing is sent", async () => {
    await using server = await listen(answer)
    await using lb = overAzure(server)
    const error = await failureAs(
      lb.fetch("https://api.openai.com/v1/chat/completions", init(stream([1, 2]))),
      TypeError
    )
    assert.match(error.message, /neither bytes nor text: a number/)
    assert.lengthOf(server.received, 0)
  })
})

describe("a cookie of a resource", () => {
  it("stays here: no door gives it out", async () => {
    await using server = await listen((received, response) => {
      response.setHeader("set-cookie", ["ARRAffinity=secret; Path=/", "b=2"])
      answer(received, response)
    })
    await using lb = overAzure(server)
    const chat = await lb.fetch("https://api.openai.com/v1/chat/completions", post())
    const list = await lb.fetch("https://api.openai.com/v1/models")
    const { response } = await lb.openai.chat.completions.create(hello).withResponse()
    const { response: listed } = await lb.openai.models.list().withResponse()
    for (const { headers } of [chat, list, response, listed]) {
      assert.isNull(headers.get("set-cookie"))
      assert.deepStrictEqual(headers.getSetCookie(), [])
    }
  })
})

describe("a redirect", () => {
  for (const status of [301, 302, 303, 307, 308]) {
    it(`is never followed: ${status}`, async () => {
      await using elsewhere = await listen(answer)
      await using server = await listen((_, response) => {
        response.writeHead(status, { location: `${elsewhere.url}/openai/v1/chat/completions` })
        response.end()
      })
      await using lb = overAzure(server)
      const foreign = new OpenAI({ apiKey: "caller", fetch: lb.fetch, maxRetries: 0 })
      for (
        const ask of [
          () => lb.openai.chat.completions.create(hello),
          () => lb.openai.chat.completions.create({ ...hello, stream: true }),
          () => foreign.chat.completions.create(hello),
          () => lb.openai.models.list()
        ]
      ) {
        await failureOf(ask())
      }
      assert.isAbove(server.received.length, 0)
      assert.deepStrictEqual(elsewhere.connections(), { made: 0, open: 0 })
      assert.strictEqual(inFlight(lb), 0)
    })
  }
})

const at = (endpoint: string, allowInsecure = false) =>
  createLoadBalancer({
    resources: [
      { name: "east", provider: "azure", endpoint, apiKey: "k", allowInsecure, deployments: [{ name: "gpt" }] }
    ]
  })

describe("a plain http endpoint", () => {
  it("may be this machine alone, unless it is allowed", async () => {
    assert.throws(() => at("http://elsewhere.example"), /http/)
    assert.throws(() => at("http://127.0.0.1.elsewhere.example"), /http/)
    await Promise.all([at("http://127.0.0.1:1").close(), at("http://elsewhere.example", true).close()])
  })
})
