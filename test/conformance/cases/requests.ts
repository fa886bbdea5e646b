/**
 * What a program says besides the parameters that everybody has: headers, queries, odd bodies, odd paths.
 */
import type { OpenAI } from "openai"
import { type Case, shared } from "../Case.ts"
import { completed, completion, headers, hello, messages, refusal, response, streamed } from "./Answers.ts"

const chat = (body: object, options?: object) => (client: OpenAI) =>
  client.chat.completions.create({ ...hello, ...body } as never, options)

/** The same parameters, where the body has none of its own: no getter of it is read, and what it inherits is kept. */
const withHello = (body: object): never => {
  for (const [name, value] of Object.entries(hello)) {
    if (!Object.hasOwn(body, name)) Object.defineProperty(body, name, { value, enumerable: true })
  }
  return body as never
}

const thing = [{ headers, json: { id: "thing_1" } }]

/** Options of one call, and what they should do to the request. */
const options: ReadonlyArray<readonly [string, object]> = [
  ["headers that cross", {
    headers: {
      "OpenAI-Beta": "of=v1",
      traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01`,
      "x-client-request-id": "c-1",
      "Idempotency-Key": "i-1"
    }
  }],
  ["a header of the caller's own", { headers: { "x-of-the-caller": "yes" } }],
  ["a cookie", { headers: { cookie: "of=the caller" } }],
  ["a header that is taken away", { headers: { accept: null } }],
  ["a header as pairs", { headers: [["openai-beta", "of=v1"]] }],
  ["an organization", { headers: { "openai-organization": "org-1", "openai-project": "proj-1" } }],
  ["an idempotency key", { idempotencyKey: "i-1" }],
  ["a query", {
    query: { preview: true, list: ["a", "b"], nested: { a: 1 }, empty: "", none: undefined, space: "a b&c" }
  }],
  ["a key in the query", { query: { "api-key": "of the caller", access_token: "of the caller", kept: "yes" } }],
  ["an api-version in the query", { query: { "api-version": "2024-10-21" } }],
  ["a path of its own", { path: "/chat/completions" }],
  ["another limit of retries", { maxRetries: 0 }]
]

class Money {
  readonly amount = 5
  toJSON() {
    return { amount: `${this.amount} EUR` }
  }
}

const counted = () => {
  let reads = 0
  return {
    get type() {
      return "json_object"
    },
    get reads() {
      return ++reads
    }
  }
}

/** Bodies that are no plain data. */
const bodies: ReadonlyArray<readonly [string, () => object]> = [
  ["parameters that nobody knows", () => ({ of: { the: ["future", null, 1.5, true] } })],
  ["parameters without a value", () => ({ temperature: undefined, stop: null })],
  ["an explicit stream of false", () => ({ stream: false })],
  ["a date", () => ({ metadata: { at: new Date(0) } })],
  ["something that says how it is written", () => ({ price: new Money() })],
  [
    "tools that say how they are written",
    () => ({ tools: [{ type: "function", toJSON: () => ({ type: "function", function: { name: "add" } }) }] })
  ],
  [
    "a format that says how it is written",
    () => ({ response_format: { type: "text", toJSON: () => ({ type: "json_object" }) } })
  ],
  [
    "a schema that says how it is written",
    () => ({
      tools: [{ type: "function", function: { name: "add", parameters: { toJSON: () => ({ type: "object" }) } } }]
    })
  ],
  ["a format with a getter", () => ({ response_format: counted() })],
  ["a tool with a getter", () => ({ tools: [counted()] })],
  ["a tool of a class", () => ({
    tools: [
      new (class {
        readonly type = "function"
      })()
    ]
  })],
  ["messages behind a proxy", () => ({ messages: new Proxy(messages, {}) })],
  ["a body that says how it is written", () => ({ toJSON: () => ({ model: "gpt-4o", messages, of: "toJSON" }) })],
  ["a body without a prototype", () => Object.create(null) as object],
  ["an inherited parameter", () => Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } }) as object],
  ["a parameter by the name of a prototype's", () => ({ constructor: 1, toString: "text" })],
  ["half a character", () => ({ user: "\ud83d" })],
  [
    "words of every script",
    () => ({ messages: [{ role: "user", content: "Grüße, 東京, \u{1f600}, \u2028 and \u0000" }] })
  ],
  ["a number that is none", () => ({ temperature: Number.NaN, top_p: Infinity })],
  ["an object of a class", () =>
    new (class Body {
      readonly of = "a class"
      readonly #hidden = 1
      get hidden() {
        return this.#hidden
      }
    })()],
  ["tools behind a proxy", () => ({ tools: new Proxy([{ type: "function", function: { name: "add" } }], {}) })],
  ["bytes", () => ({ messages: [{ role: "user", content: new Uint8Array([1, 2]) }] })],
  ["a big whole number", () => ({ seed: 2n ** 60n })],
  ["a circle", () => {
    const circle: Record<string, unknown> = {}
    circle["self"] = circle
    return { metadata: circle }
  }],
  ["a parameter that throws", () => ({
    get metadata() {
      throw new Error("of the caller")
    }
  })],
  ["an extra body", () => ({ extra_body: { of: "vLLM" } })]
]

/** Bodies that ask for a stream, or not, when they are written. */
const askingForStreams: ReadonlyArray<readonly [string, () => object]> = [
  ["by an object of true", () => ({ stream: Object(true) as unknown })],
  ["by an object of false", () => ({ stream: Object(false) as unknown })],
  ["by a text", () => ({ stream: "true" })],
  ["by a getter", () => ({
    get stream() {
      return true
    }
  })],
  ["by how the body says that it is written", () => ({ toJSON: () => ({ ...hello, stream: true }) })],
  ["and not by how the body says that it is written", () => ({ stream: true, toJSON: () => hello })],
  ["by how the value says that it is written", () => ({ stream: { toJSON: () => true } })],
  ["by what it inherits", () => Object.create({ stream: true }) as object]
]

/** Paths with an id that has to be written in another way. */
const ids = ["a b", "a%2Fb", "50%", "\u6771\u4eac", "a+b", "a:b@c", "file-1?x=1#y", ".hidden", "UPPER_lower-1.2~3"]

const elsewhere: ReadonlyArray<readonly [string, (client: OpenAI) => unknown]> = [
  ["an id that is none", (client) => client.files.retrieve("")],
  ["an id that leads elsewhere", (client) => client.files.retrieve("..")],
  [
    "a query of several values",
    (client) =>
      client.responses.retrieve("resp_1234567", {
        include: ["file_search_call.results", "reasoning.encrypted_content"]
      })
  ],
  [
    "a query of nested values",
    (client) => client.chat.completions.list({ metadata: { of: "conformance", a: "b" }, limit: 2 })
  ],
  [
    "a query of its own",
    (client) => client.get("/things", { query: { a: [1, 2], b: { c: ["d"] }, e: null, f: false, g: "\u6771" } })
  ],
  ["a query in the path", (client) => client.get("/things?a=1&a=2", { query: { b: 3 } })],
  [
    "a body of bytes",
    (client) =>
      client.post("/things", {
        body: new Uint8Array([0, 255, 10]),
        headers: { "content-type": "application/octet-stream" }
      })
  ],
  ["a body of text", (client) => client.post("/things", { body: "Hello.", headers: { "content-type": "text/plain" } })],
  ["a body that is an array", (client) => client.post("/things", { body: [1, 2] as never })],
  [
    "a body of another JSON",
    (client) => client.post("/things", { body: { a: 1 }, headers: { "content-type": "application/merge-patch+json" } })
  ],
  [
    "a body of a stream",
    (client) =>
      client.post("/things", {
        body: new Blob(["Hello, ", "you."]).stream() as never,
        headers: { "content-type": "text/plain" }
      })
  ],
  ["no body", (client) => client.post("/things")],
  ["a trailing slash", (client) => client.get("/things/")],
  ["two slashes", (client) => client.get("/things//more")]
]

export const cases: ReadonlyArray<Case> = [
  ...shared([
    ...options.map(([name, given]): Case => ({
      name: `request: ${name}`,
      script: [completed],
      call: chat({}, given)
    })),
    ...options.slice(0, 9).map(([name, given]): Case => ({
      name: `request elsewhere: ${name}`,
      script: thing,
      call: (client) => client.files.retrieve("file-1234567", given)
    })),
    ...bodies.map(([name, body]): Case => ({
      name: `body: ${name}`,
      script: [completed],
      call: (client) => client.chat.completions.create(withHello(body()))
    })),
    ...ids.map((id): Case => ({
      name: `path: with ${id}`,
      script: thing,
      call: (client) => client.files.retrieve(id)
    })),
    ...elsewhere.map(([name, call]): Case => ({ name: `elsewhere: ${name}`, script: thing, call }))
  ]),
  ...askingForStreams.map(([name, body]): Case => ({
    name: `body: a stream asked for ${name}`,
    script: ({ body }) => (body as { readonly stream?: unknown }).stream === true ? streamed : completed,
    call: (client) => client.chat.completions.create(withHello(body()))
  })),
  {
    name: "client: default headers",
    script: [completed],
    client: { defaultHeaders: { "openai-beta": "of=v1", "x-of-the-caller": "yes" } },
    call: chat({})
  },
  {
    name: "client: a default query",
    script: [completed],
    client: { defaultQuery: { preview: "yes" } },
    call: chat({})
  },
  {
    name: "client: withOptions",
    script: [completed],
    call: (client) => client.withOptions({ defaultHeaders: { "openai-beta": "of=v1" } }).chat.completions.create(hello)
  },
  {
    name: "client: an organization and a project",
    script: [completed],
    client: { organization: "org-1", project: "proj-1" },
    call: chat({})
  },
  {
    name: "client: retries",
    script: (_, index) => index < 2 ? { status: 500, headers: { "retry-after-ms": "1" }, json: refusal() } : completed,
    client: { maxRetries: 2 },
    config: { failover: { attempts: 3 } },
    call: chat({})
  },
  {
    name: "client: retries that are used up",
    script: [{ status: 500, headers: { "retry-after-ms": "1" }, json: refusal() }],
    client: { maxRetries: 2 },
    config: { failover: { attempts: 3 } },
    call: chat({})
  },
  {
    name: "client: a service that asks not to retry",
    script: (_, index) =>
      index < 1 ? { status: 500, headers: { "x-should-retry": "false" }, json: refusal() } : completed,
    client: { maxRetries: 2 },
    config: { failover: { attempts: 3 } },
    call: chat({})
  },
  {
    name: "model: that no deployment has",
    script: [{
      status: 404,
      headers,
      json: refusal("The model `gpt-none` does not exist.", { code: "model_not_found", param: null })
    }],
    call: (client) => client.chat.completions.create({ model: "gpt-none", messages })
  },
  {
    name: "model: none, of a chat",
    script: [{
      status: 400,
      headers,
      json: refusal("you must provide a model parameter", { code: null, param: null })
    }],
    call: (client) => client.chat.completions.create({ messages } as never)
  },
  {
    name: "model: none, of a response with a stored prompt",
    script: [{ headers, json: response() }],
    call: (client) => client.responses.create({ prompt: { id: "pmpt_1234567" } })
  },
  {
    name: "model: none, of a response that goes on",
    script: [{ headers, json: response() }],
    call: (client) => client.responses.create({ previous_response_id: "resp_1234567", input: "More." } as never)
  },
  {
    name: "model: that is no text",
    script: [{
      status: 400,
      headers,
      json: refusal("Invalid type for 'model'.", { code: "invalid_type", param: "model" })
    }],
    call: (client) => client.chat.completions.create({ model: 4 as never, messages })
  },
  {
    name: "request: the same parameters twice",
    script: [completed],
    call: async (client) => {
      const body = Object.freeze({ ...hello, metadata: Object.freeze({ of: "conformance" }) })
      await client.chat.completions.create(body)
      await client.chat.completions.create(body)
      return body
    }
  },
  {
    name: "request: many at once",
    script: (sent) => ({ headers, json: completion((sent.body as { readonly user: string }).user) }),
    ignoresSent: true,
    call: async (client) => {
      const asked = Array.from({ length: 8 }, (_, i) => client.chat.completions.create({ ...hello, user: `user-${i}` }))
      const answers = await Promise.all(asked)
      return answers.map(({ choices }) => choices[0]!.message.content)
    }
  }
]
