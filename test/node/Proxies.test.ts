import type { UndiciTransportOptions } from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import type { ResourceInput } from "@evenkeel/core"
import { createLoadBalancer, UndiciTransport } from "@evenkeel/node"
import * as Http from "node:http"
import * as Https from "node:https"
import { type AddressInfo, connect, type Socket } from "node:net"
import { inspect } from "node:util"
import * as Certificates from "../support/Certificates.ts"
import { answer, balancing, chatUrl, completion, hello, post, service } from "../support/PlainBalancer.ts"
import { json, listen } from "../support/PlainServer.ts"

interface Proxy extends AsyncDisposable {
  readonly url: string
  /** What it was asked, and with which headers. */
  readonly asked: ReadonlyArray<{ readonly line: string; readonly headers: Http.IncomingHttpHeaders }>
}

interface Tls extends AsyncDisposable {
  readonly port: number
  readonly received: ReadonlyArray<{ readonly headers: Http.IncomingHttpHeaders; readonly client: string | undefined }>
}

const listening = async (server: Http.Server | Https.Server) => {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
  }
  server.on("connection", keep)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    keep,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}

/** A proxy that answers for every plain service, and tunnels to one port whatever it is asked for. */
const proxying = async (
  options: { readonly tunnelTo?: number; readonly status?: number; readonly hangs?: boolean } = {}
): Promise<Proxy> => {
  const { hangs = false, status = 200, tunnelTo } = options
  const asked: Array<Proxy["asked"][number]> = []
  const server = Http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    asked.push({ line: `${request.method} ${request.url}`, headers: request.headers })
    request.resume()
    request.on("end", () => json(response, answer, status))
  })
  server.on("connect", (request, socket: Socket) => {
    asked.push({ line: `${request.method} ${request.url}`, headers: request.headers })
    socket.on("error", () => {})
    if (hangs) return
    if (status !== 200 || tunnelTo === undefined) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const onward = connect(tunnelTo, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n")
      socket.pipe(onward)
      onward.pipe(socket)
    })
    listened.keep(onward)
  })
  const listened = await listening(server)
  return { ...listened, asked, url: `http://127.0.0.1:${listened.port}` }
}

/** A service with a certificate for `inner.example`; it may want one of the client's too. */
const secure = async (wantsClient = false): Promise<Tls> => {
  const received: Array<Tls["received"][number]> = []
  const options = { ...Certificates.server, ca: Certificates.authority, requestCert: wantsClient }
  const server = Https.createServer({ ...options, rejectUnauthorized: wantsClient }, (request, response) => {
    const { CN } = (request.socket as unknown as { getPeerCertificate: () => { subject?: { CN?: string } } })
      .getPeerCertificate().subject ?? {}
    received.push({ headers: request.headers, client: CN })
    request.resume()
    request.on("end", () => json(response, answer))
  })
  return { ...await listening(server), received }
}

const at = (endpoint: string, more: Partial<ResourceInput> = {}): ResourceInput => ({
  ...service("a", endpoint),
  apiKey: "a-key",
  allowInsecure: true,
  ...more
})

const plain = at("http://service.example")

/** What comes of one call. */
const ask = async (resource: ResourceInput, options: UndiciTransportOptions) => {
  await using lb = createLoadBalancer({ ...balancing(resource), failover: { attempts: 1 } }, {
    transport: UndiciTransport.layer(options)
  })
  const response = await lb.fetch(chatUrl, post(hello))
  return { status: response.status, text: await response.text() }
}

const whole = { status: 200, text: JSON.stringify(answer) }

const create = (environment: Record<string, string>) =>
  createLoadBalancer(balancing(plain), { transport: UndiciTransport.layer({ environment }) })
describe("a proxy of the environment", () => {
  it("is asked for a plain service by its whole URL", async () => {
    await using proxy = await proxying()
    for (const name of ["HTTP_PROXY", "http_proxy"]) {
      assert.deepStrictEqual(await ask(plain, { environment: { [name]: proxy.url } }), whole)
    }
    const [first, second] = proxy.asked
    assert.strictEqual(first!.line, "POST http://service.example/v1/chat/completions")
    assert.deepInclude(first!.headers, { host: "service.example", authorization: "Bearer a-key" })
    assert.strictEqual(second!.line, first!.line)
  })

  it("is asked for a tunnel to a service with TLS, and sees nothing of what goes through", async () => {
    await using inner = await secure()
    await using proxy = await proxying({ tunnelTo: inner.port })
    const resource = at("https://inner.example", { tls: { ca: Certificates.authority } })
    for (const name of ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY"]) {
      assert.deepStrictEqual(await ask(resource, { environment: { [name]: proxy.url } }), whole)
    }
    for (const { headers, line } of proxy.asked) {
      assert.strictEqual(line, "CONNECT inner.example:443")
      assert.notProperty(headers, "authorization")
    }
    assert.lengthOf(inner.received, 3)
    for (const { headers } of inner.received) {
      assert.strictEqual(headers.authorization, "Bearer a-key")
      assert.notProperty(headers, "proxy-authorization")
    }
  })

  it("is told the user and the password of its URL, which nobody else is", async () => {
    await using inner = await secure()
    await using proxy = await proxying({ tunnelTo: inner.port })
    const environment = { https_proxy: proxy.url.replace("://", "://user:pass%20word@") }
    const resource = at("https://inner.example", { tls: { ca: Certificates.authority } })
    assert.deepStrictEqual(await ask(resource, { environment }), whole)
    const expected = `Basic ${Buffer.from("user:pass word").toString("base64")}`
    assert.strictEqual(proxy.asked[0]!.headers["proxy-authorization"], expected)
    assert.notInclude(inspect(inner.received), expected)
  })

  it("is not asked for what NO_PROXY names, nor where NODE_USE_ENV_PROXY is 0", async () => {
    await using proxy = await proxying()
    const nowhere = at("http://no-such-host.invalid")
    const environments: ReadonlyArray<Record<string, string>> = [
      { NO_PROXY: "no-such-host.invalid" },
      { no_proxy: ".invalid,other.example" },
      { NO_PROXY: "*" },
      { NODE_USE_ENV_PROXY: "0" }
    ]
    for (const more of environments) {
      const { status, text } = await ask(nowhere, { environment: { HTTP_PROXY: proxy.url, ...more } })
      assert.strictEqual(status, 503)
      assert.match(text, /dns|connect/)
    }
    assert.lengthOf(proxy.asked, 0)
    assert.deepStrictEqual(await ask(nowhere, { environment: { HTTP_PROXY: proxy.url, NO_PROXY: "x.invalid" } }), whole)
  })

  it("is never asked for this machine", async () => {
    await using proxy = await proxying()
    await using server = await listen(completion)
    const { port } = new URL(server.url)
    for (const host of ["127.0.0.1", "localhost"]) {
      assert.deepStrictEqual(
        await ask(at(`http://${host}:${port}`), { environment: { HTTP_PROXY: proxy.url } }),
        whole
      )
    }
    assert.lengthOf(proxy.asked, 0)
  })

  it("may lack its scheme; what is no URL of one is an error at creation that does not show it", () => {
    void create({ HTTPS_PROXY: "proxy.example:3128" }).close()
    for (const wrong of ["ftp://hunter2.example", "http://", "http://u:hunter2@:x"]) {
      assert.throws(
        () => create({ https_proxy: wrong }),
        TypeError,
        /HTTPS_PROXY is not the URL of a proxy: give one such/
      )
      assert.throws(() => create({ https_proxy: wrong }), /^(?:(?!hunter2).)*$/)
    }
  })
})

describe("a resource's own proxy", () => {
  it("wins over the environment, even for this machine; `none` is none", async () => {
    await using proxy = await proxying()
    await using other = await proxying()
    await using server = await listen(completion)
    const environment = { HTTP_PROXY: other.url }
    assert.deepStrictEqual(await ask({ ...plain, proxy: proxy.url }, { environment }), whole)
    assert.deepStrictEqual(await ask(at(server.url, { proxy: proxy.url }), { environment }), whole)
    assert.lengthOf(proxy.asked, 2)
    const { status } = await ask(at("http://no-such-host.invalid", { proxy: "none" }), { environment })
    assert.strictEqual(status, 503)
    assert.lengthOf(other.asked, 0)
    assert.lengthOf(server.received, 0)
  })

  it("is its alone", async () => {
    await using proxy = await proxying()
    await using server = await listen(completion)
    await using lb = createLoadBalancer(
      balancing({ ...plain, proxy: proxy.url }, service("b", server.url)),
      { transport: UndiciTransport.layer({ environment: {} }) }
    )
    for (let i = 0; i < 30; i++) assert.strictEqual((await lb.fetch(chatUrl, post(hello))).status, 200)
    assert.isAbove(proxy.asked.length, 0)
    assert.isAbove(server.received.length, 0)
    for (const { line } of proxy.asked) assert.include(line, "service.example")
  })

  for (const status of [407, 502]) {
    it(`that refuses says so, and shows no password: ${status}`, async () => {
      await using proxy = await proxying({ status })
      const url = proxy.url.replace("://", "://user:hunter2@")
      const { text } = await ask(at("https://inner.example", { proxy: url }), {})
      assert.include(text, `connect (the proxy answered ${status})`)
      assert.notInclude(text, "hunter2")
    })
  }

  it("that does not answer is a connection that was not made in time", async () => {
    await using proxy = await proxying({ hangs: true })
    const began = performance.now()
    const { text } = await ask(at("https://inner.example", { proxy: proxy.url }), { connectTimeout: 300 })
    assert.include(text, "connect")
    assert.isBelow(performance.now() - began, 5_000)
  })

  it("that is not there is a connection that was refused", async () => {
    const { text } = await ask(at("https://inner.example", { proxy: "http://127.0.0.1:9" }), {})
    assert.include(text, "connect (ECONNREFUSED)")
  })
})

describe("TLS to a resource", () => {
  it("trusts its own authority and verifies its own name, and no other's", async () => {
    await using inner = await secure()
    const endpoint = `https://127.0.0.1:${inner.port}`
    const ca = Certificates.authority
    assert.deepStrictEqual(await ask(at(endpoint, { tls: { ca, servername: "inner.example" } }), {}), whole)
    assert.deepStrictEqual(await ask(at(endpoint, { tls: { ca: [ca], servername: "inner.example" } }), {}), whole)
    for (const tls of [undefined, { ca }, { servername: "inner.example" }, { ca, servername: "outer.example" }]) {
      const { status, text } = await ask(at(endpoint, { tls }), {})
      assert.strictEqual(status, 503)
      assert.include(text, "tls (")
    }
    assert.lengthOf(inner.received, 2)
  })

  it("shows the client's certificate", async () => {
    await using inner = await secure(true)
    const tls = { ca: Certificates.authority, servername: "inner.example" }
    const endpoint = `https://127.0.0.1:${inner.port}`
    assert.deepStrictEqual(await ask(at(endpoint, { tls: { ...tls, ...Certificates.client } }), {}), whole)
    assert.strictEqual(inner.received[0]!.client, "client.example")
    assert.strictEqual((await ask(at(endpoint, { tls }), {})).status, 503)
  })

  it("may change with the resource, while it runs", async () => {
    await using inner = await secure()
    const endpoint = `https://127.0.0.1:${inner.port}`
    await using lb = createLoadBalancer({ ...balancing(at(endpoint)), failover: { attempts: 1 } })
    assert.strictEqual((await lb.fetch(chatUrl, post(hello))).status, 503)
    await lb.deployments.add(at(endpoint, { tls: { ca: Certificates.authority, servername: "inner.example" } }))
    assert.strictEqual((await lb.fetch(chatUrl, post(hello))).status, 200)
  })
})

describe("headers of a resource", () => {
  it("go with every request to it, and to no other", async () => {
    await using a = await listen((_, response) => json(response, {}, 500))
    await using b = await listen(completion)
    const headers = { "Ocp-Apim-Subscription-Key": "subscription-secret", "User-Agent": "mine" }
    const config = balancing({ ...service("a", a.url), headers }, service("b", b.url, { tier: 2 }))
    await using lb = createLoadBalancer(config)
    const sent = {
      ...post(hello),
      headers: { "content-type": "application/json", "ocp-apim-subscription-key": "theirs" }
    }
    assert.strictEqual((await lb.fetch(chatUrl, sent)).status, 200)
    await lb.fetch("https://api.openai.com/v1/models")
    assert.isAtLeast(a.received.length, 2)
    for (const { headers } of a.received) {
      assert.deepInclude(headers, { "ocp-apim-subscription-key": "subscription-secret", "user-agent": "mine" })
    }
    for (const { headers } of b.received) {
      assert.notProperty(headers, "ocp-apim-subscription-key")
      assert.strictEqual(headers["user-agent"], "evenkeel")
    }
    assert.notInclude(inspect(lb.snapshot(), { depth: 20 }), "subscription-secret")
  })

  it("go with checks too, and with a token beside", async () => {
    await using a = await listen((_, response) => json(response, { object: "list", data: [] }))
    const resource: ResourceInput = {
      ...service("a", a.url),
      auth: () => "token",
      headers: { "x-gateway": "secret" }
    }
    await using lb = createLoadBalancer({ resources: [resource], health: { check: { interval: 20 } } })
    void lb
    const end = performance.now() + 3_000
    while (a.received.length === 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepInclude(a.received[0]!.headers, { "x-gateway": "secret", authorization: "Bearer token" })
  })
})
