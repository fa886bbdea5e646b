/**
 * curl, unchanged, against the gateway.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { promisify } from "node:util"
import { inject } from "vitest"
import { eventually } from "../support/Served.ts"
import { models, reach, type Reached, report, said, ways, weather } from "./Reach.ts"

const key = "ek-of-curl"
const keys = [{ name: "curl", sha256: createHash("sha256").update(key).digest("hex") }]
const bearer = ["-H", `authorization: Bearer ${key}`]
const hello = [{ role: "user", content: "Say hello." }]

interface Answered {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- each test knows what it asked for
  readonly json: () => any
}

const open = () => reach(ways[1]!, undefined, { keys })

const curl = async ({ origin }: Reached, path: string, ...args: ReadonlyArray<string>): Promise<Answered> => {
  const { stdout } = await promisify(execFile)("curl", ["-sS", "-i", `${origin}${path}`, ...args])
  const end = stdout.indexOf("\r\n\r\n")
  const [line, ...lines] = stdout.slice(0, end).split("\r\n")
  const headers = Object.fromEntries(lines.map((each) => /^([^:]+): (.*)$/.exec(each)!.slice(1)))
  const text = stdout.slice(end + 4)
  return { status: Number(line!.split(" ")[1]), headers, text, json: () => JSON.parse(text) }
}

const json = (body: object): ReadonlyArray<string> => [
  "-H",
  "content-type: application/json",
  "-d",
  JSON.stringify(body)
]

const chat = (more: object = {}): ReadonlyArray<string> => json({ model: models.chat, messages: hello, ...more })

const errorOf = ({ json }: Answered) => json().error as { readonly code: string; readonly message: string }

describe.skipIf(!inject("curl"))("curl, over the gateway", () => {
  const ways: Readonly<Record<string, ReadonlyArray<string>>> = {
    "as Bearer": bearer,
    "as api-key": ["-H", `api-key: ${key}`]
  }
  const paths = {
    "OpenAI": "/v1/chat/completions",
    "Azure's v1": "/openai/v1/chat/completions",
    "Azure, by deployment": `/openai/deployments/${models.chat}/chat/completions?api-version=2025-04-01-preview`
  }
  for (const [how, headers] of Object.entries(ways)) {
    for (const [api, path] of Object.entries(paths)) {
      it(`gets an answer, with its key ${how}, at the path of ${api}`, async () => {
        await using reached = await open()
        const answer = await curl(reached, path, ...headers, ...chat())
        assert.strictEqual(answer.json().choices[0].message.content, said)
        assert.strictEqual(answer.headers["x-evenkeel-attempts"], "1")
      })
    }
  }

  it("reads a stream to its end", async () => {
    await using reached = await open()
    const { headers, text } = await curl(reached, "/v1/chat/completions", "-N", ...bearer, ...chat({ stream: true }))
    assert.match(headers["content-type"]!, /^text\/event-stream/)
    const events = Array.from(text.matchAll(/^data: (.*)$/gm), ([, data]) => data!)
    assert.strictEqual(events.at(-1), "[DONE]")
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event))
    assert.strictEqual(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), said)
  })

  it("calls a tool, and goes on with what it gives", async () => {
    await using reached = await open()
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }]
    const first = await curl(reached, "/v1/chat/completions", ...bearer, ...chat({ tools }))
    const { message } = first.json().choices[0]
    const [{ function: called, id }] = message.tool_calls
    assert.deepStrictEqual(JSON.parse(called.arguments), { city: weather.city })
    const messages = [...hello, message, { role: "tool", tool_call_id: id, content: "21 degrees" }]
    const second = await curl(reached, "/v1/chat/completions", ...bearer, ...chat({ tools, messages }))
    assert.strictEqual(second.json().choices[0].message.content, report)
  })

  it("gets structured outputs, and embeddings", async () => {
    await using reached = await open()
    const json_schema = { name: "weather", schema: { type: "object" } }
    const format = { response_format: { type: "json_schema", json_schema } }
    const answer = await curl(reached, "/v1/chat/completions", ...bearer, ...chat(format))
    assert.deepStrictEqual(JSON.parse(answer.json().choices[0].message.content), weather)
    const asked = json({ model: models.embedding, input: "Hello" })
    const vectors = await curl(reached, "/v1/embeddings", ...bearer, ...asked)
    assert.lengthOf(vectors.json().data[0].embedding, 8)
  })

  it("stores a response, finds it, and deletes it", async () => {
    await using reached = await open()
    const made = await curl(reached, "/v1/responses", ...bearer, ...json({ model: models.chat, input: "Hello" }))
    const path = `/v1/responses/${made.json().id}`
    assert.strictEqual((await curl(reached, path, ...bearer)).json().output[0].content[0].text, said)
    assert.isTrue((await curl(reached, path, ...bearer, "-X", "DELETE")).json().deleted)
    assert.strictEqual((await curl(reached, path, ...bearer)).status, 404)
  })

  it("starts a response in the background, looks at it, and cancels it", async () => {
    await using reached = await open()
    const asked = json({ model: models.slow, input: "Hello", background: true })
    const made = (await curl(reached, "/v1/responses", ...bearer, ...asked)).json()
    assert.strictEqual(made.status, "queued")
    const path = `/v1/responses/${made.id}`
    assert.strictEqual((await curl(reached, path, ...bearer)).json().status, "queued")
    // a POST without a body
    assert.strictEqual((await curl(reached, `${path}/cancel`, ...bearer, "-X", "POST")).json().status, "cancelled")
  })

  it("uploads a file, finds it, and deletes it", async () => {
    await using reached = await open()
    const form = ["-F", "purpose=batch", "-F", "file=@-;filename=lines.jsonl"]
    const child = spawn("curl", ["-sS", `${reached.origin}/v1/files`, ...bearer, ...form])
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (data: string) => {
      text += data
    })
    child.stdin.end("{\"a\":1}\n")
    await once(child, "close")
    const made = JSON.parse(text)
    assert.deepInclude(made, { object: "file", filename: "lines.jsonl", bytes: 8, purpose: "batch" })
    const path = `/v1/files/${made.id}`
    assert.strictEqual((await curl(reached, path, ...bearer)).json().id, made.id)
    assert.isTrue((await curl(reached, path, ...bearer, "-X", "DELETE")).json().deleted)
  })

  it("is told when to come again", async () => {
    await using reached = await open()
    reached.fault({ kind: "throttle", retryAfterMs: 60_000 })
    const answer = await curl(reached, "/v1/chat/completions", ...bearer, ...chat())
    assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [429, "60"])
  })

  it("asks again if it has --retry, whatever it is told", async () => {
    await using reached = await open()
    reached.fault({ kind: "status", status: 500 })
    const asked = ["--retry", "1", ...bearer, ...chat()]
    await curl(reached, "/v1/chat/completions", ...asked)
    await eventually(() => reached.sessions.length === 2)
  })

  it("is told what was wrong with it", async () => {
    await using reached = await open()
    const path = "/v1/chat/completions"
    const unknown = await curl(reached, path, ...bearer, ...chat({ model: "gpt-unknown" }))
    assert.deepStrictEqual([unknown.status, errorOf(unknown).code], [404, "model_not_found"])
    const another = await curl(reached, path, "-H", "authorization: Bearer another", ...chat())
    assert.deepStrictEqual([another.status, errorOf(another).code], [401, "invalid_api_key"])
    // what curl sends unless it is told otherwise is a form
    const garbled = await curl(reached, path, ...bearer, "-d", "{\"model\":")
    assert.deepStrictEqual([garbled.status, errorOf(garbled).code], [400, "invalid_request"])
    const empty = await curl(reached, path, ...bearer, ...chat({ messages: [] }))
    assert.deepStrictEqual([empty.status, empty.headers["x-should-retry"]], [400, "false"])
  })

  it("gets an answer without a content type of JSON", async () => {
    await using reached = await open()
    const answer = await curl(reached, "/v1/chat/completions", ...bearer, "-d", chat().at(-1)!)
    assert.strictEqual(answer.status, 200, answer.text)
  })

  it("ends what is under way when it is stopped", async () => {
    await using reached = await open()
    const body = chat({ model: models.slow, stream: true })
    const child = spawn("curl", ["-sSN", `${reached.origin}/v1/chat/completions`, ...bearer, ...body])
    await once(child.stdout, "data")
    assert.strictEqual(reached.stats().reduce((sum, { inFlight }) => sum + inFlight, 0), 1)
    child.kill()
    // the whole stream takes eight seconds
    await eventually(() => reached.stats().every(({ inFlight }) => inFlight === 0), "It goes on", 2_000)
    await eventually(() => reached.inFlight() === 0)
  })
})
