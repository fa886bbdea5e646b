/**
 * Whole answers: what a call gives, and what can be read of its response.
 */
import { gzipSync } from "node:zlib"
import { type Case, shared } from "../Case.ts"
import type { Answer } from "../Server.ts"
import { completed, completion, headers, hello, response } from "./Answers.ts"

const json = (text: string, type = "application/json"): Answer => ({
  headers: { ...headers, "content-type": type },
  text
})

/** Bodies of a 200 that a program may be given. */
const bodies: ReadonlyArray<readonly [string, Answer]> = [
  ["text", json("Hello.", "text/plain; charset=utf-8")],
  ["HTML", json("<!doctype html><p>A captive portal</p>", "text/html")],
  ["no body at all", json("")],
  ["no body and no type", { headers }],
  ["half a JSON", json("{\"id\":")],
  ["a JSON array", json("[1,2]")],
  ["a JSON null", json("null")],
  ["a JSON text", json("\"Hello.\"")],
  ["a JSON number", json("7")],
  ["an empty object", json("{}")],
  ["JSON by another name", json(JSON.stringify(completion()), "application/vnd.api+json; charset=utf-8")],
  ["JSON without a type", { headers, text: JSON.stringify(completion()) }],
  ["JSON that is said to be text", json(JSON.stringify(completion()), "text/plain")],
  ["JSON with a mark of its byte order", json(`\u{feff}${JSON.stringify(completion())}`)],
  [
    "a number past those of JavaScript",
    json("{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"choices\":[],\"created\":12345678901234567890}")
  ],
  ["words of every script", { headers, json: completion("Grüße, 東京, \u{1f600}, \u2028 and \u0000") }],
  [
    "half a character",
    json("{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"choices\":[],\"text\":\"\\ud83d\"}")
  ],
  ["compressed", {
    headers: { ...headers, "content-type": "application/json", "content-encoding": "gzip" },
    bytes: gzipSync(JSON.stringify(completion()))
  }],
  ["an error inside", {
    headers,
    json: { error: { message: "Overloaded", type: "server_error", code: "server_error" } }
  }],
  ["fields that nobody knows", { headers, json: { ...completion(), from: { the: ["future"] }, constructor: 1 } }],
  ["many choices", {
    headers,
    json: { ...completion(), choices: [0, 1].map((index) => completion(`Hello ${index}.`).choices[0]) }
  }]
]

const created: ReadonlyArray<Case> = [201, 202, 203, 206].map((status) => ({
  name: `result: of status ${status}`,
  script: [{ ...completed, status }],
  call: (client) => client.chat.completions.create(hello)
}))

const verbs: ReadonlyArray<Case> = [
  {
    name: "result: HEAD has no body",
    script: [{ headers: { ...headers, "content-type": "application/json", "content-length": "12" } }],
    call: (client) => client.request({ method: "head" as never, path: "/files/file-1234567" }).asResponse()
  },
  {
    name: "result: DELETE with an answer",
    script: [{ headers, json: { id: "file-1234567", object: "file", deleted: true } }],
    call: (client) => client.files.delete("file-1234567")
  },
  {
    name: "result: DELETE with status 204",
    script: [{ headers, status: 204 }],
    call: (client) => client.files.delete("file-1234567")
  },
  {
    name: "result: a response of status 204",
    script: [{ headers, status: 204 }],
    call: (client) => client.responses.delete("resp_1234567")
  },
  {
    name: "result: PATCH",
    script: [{ headers, json: { id: "thing_1" } }],
    call: (client) => client.patch("/things/thing_1234567", { body: { name: "other" } })
  },
  {
    name: "result: PUT",
    script: [{ headers, json: { id: "thing_1" } }],
    call: (client) => client.put("/things/thing_1234567", { body: { name: "other" } })
  },
  {
    name: "result: POST without a body",
    script: [{ headers, json: { id: "batch_1234567", status: "cancelling" } }],
    call: (client) => client.batches.cancel("batch_1234567")
  }
]

const read: ReadonlyArray<Case> = [
  {
    name: "raw: asResponse",
    script: [completed],
    call: (client) => client.chat.completions.create(hello).asResponse()
  },
  {
    name: "raw: asResponse of another endpoint",
    script: [{ headers, json: { id: "file-1234567" } }],
    call: (client) => client.files.retrieve("file-1234567").asResponse()
  },
  {
    name: "raw: withResponse",
    script: [completed],
    call: async (client) => {
      const { data, request_id, response } = await client.chat.completions.create(hello).withResponse()
      return { data, request_id, status: response.status, limit: response.headers.get("openai-processing-ms") }
    }
  },
  {
    name: "raw: headers in their order, looked up in any case",
    script: [{
      ...completed,
      headers: {
        ...headers,
        "X-RateLimit-Remaining-Requests": "59",
        "x-ratelimit-remaining-tokens": "-1",
        "x-of-latin-1": "Grüße",
        "x-ms-region": "East US",
        "cf-ray": "1",
        "openai-version": "2020-10-01"
      }
    }],
    call: async (client) => {
      const { headers } = await client.chat.completions.create(hello).asResponse()
      const of = Object.fromEntries([...headers].filter(([name]) => name !== "date"))
      return { of, has: headers.has("CF-RAY"), got: headers.get("X-Ms-Region"), none: headers.get("x") }
    }
  },
  {
    name: "raw: cookies",
    script: [{ ...completed, headers: { ...headers, "set-cookie": "__cf_bm=of-the-service; path=/; HttpOnly" } }],
    call: async (client) => {
      const { headers } = await client.chat.completions.create(hello).asResponse()
      return { header: headers.get("set-cookie"), cookies: headers.getSetCookie() }
    }
  },
  ...["text", "json", "arrayBuffer", "blob", "bytes"].map((how): Case => ({
    name: `raw: a response as ${how}`,
    script: [completed],
    call: async (client) => {
      const response = await client.chat.completions.create(hello).asResponse()
      const read = await (response[how as never] as () => Promise<unknown>).call(response)
      return { read, isUsed: response.bodyUsed }
    }
  })),
  {
    name: "raw: a response's body as a stream, and its clone",
    script: [completed],
    call: async (client) => {
      const response = await client.chat.completions.create(hello).asResponse()
      const copy = response.clone()
      return { body: response.body, copy: await copy.text(), isResponse: response instanceof Response }
    }
  },
  {
    name: "raw: a response read twice",
    script: [completed],
    call: async (client) => {
      const response = await client.chat.completions.create(hello).asResponse()
      await response.text()
      return response.text()
    }
  },
  {
    name: "raw: the request's id is on the result",
    script: [completed],
    call: async (client) => (await client.chat.completions.create(hello))._request_id
  },
  {
    name: "raw: no request's id",
    script: [{ json: completion() }],
    call: async (client) => (await client.chat.completions.create(hello))._request_id
  },
  {
    name: "result: text of a response is gathered",
    script: [{ headers, json: response("Hello, you.") }],
    call: async (client) => (await client.responses.create({ model: "gpt-4o", input: "Say hello." })).output_text
  },
  {
    name: "result: embeddings in numbers",
    script: [{
      headers,
      json: {
        object: "list",
        model: "text-embedding-3-small",
        data: [{ object: "embedding", index: 0, embedding: "AACAPwAAAEA=" }]
      }
    }],
    call: (client) => client.embeddings.create({ model: "text-embedding-3-small", input: "Hello." })
  },
  {
    name: "result: embeddings as they are sent",
    script: [{
      headers,
      json: {
        object: "list",
        model: "text-embedding-3-small",
        data: [{ object: "embedding", index: 0, embedding: [1, 2] }]
      }
    }],
    call: (client) =>
      client.embeddings.create({ model: "text-embedding-3-small", input: ["Hello."], encoding_format: "float" })
  },
  {
    name: "result: a request of the client's own making",
    script: [{ headers, json: { of: "the future" } }],
    call: (client) =>
      client.post("/some/new/endpoint", {
        body: { model: "gpt-4o", nested: { array: [1, null, true] } },
        query: { a: [1, 2] }
      })
  }
]

export const cases: ReadonlyArray<Case> = [
  ...bodies.map(([name, answer]): Case => ({
    name: `result: ${name}`,
    script: [answer],
    call: (client) => client.chat.completions.create(hello)
  })),
  ...bodies.slice(0, 8).map(([name, answer]): Case => ({
    name: `result of another endpoint: ${name}`,
    script: [answer],
    call: (client) => client.files.retrieve("file-1234567")
  })),
  ...shared([...created, ...verbs, ...read])
]
