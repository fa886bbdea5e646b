import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { answer, failure, type Fleet, fleet, reasonOf, run, service, stateOf } from "../../support/Balanced.ts"

const names = ["r0", "r1", "r2", "r3", "r4", "r5"]

/** Six resources, of which some things are served by few. */
const six = (config: Parameters<typeof fleet>[1] = {}) =>
  fleet(
    names.map((name) =>
      service(name, {}, {
        deployments: [
          ...service(name).deployments,
          ...["sora-2", "o3"].map((model) => ({ name: model, latency: service(name).deployments[0]!.latency }))
        ]
      })
    ),
    config
  )

const model = "gpt-4o"

/** Asks any endpoint, and gives its answer's JSON. */
const ask = (path: string, body?: Readonly<Record<string, unknown>>, method?: string) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const { json } = yield* answer(lb.request({ path, body, method }))
    return (yield* answer(json)) as any
  })

/** The resources that were asked since so many sends. */
const since = ({ sends }: Fleet, count: number) => sends.slice(count).map(({ resource }) => resource)

/** Something that another process made on a resource. */
const madeElsewhere = (one: Fleet, resource: string, path: string, body: object = {}) => {
  const { apiKey, handle } = one.services[resource]!
  const random = () => names.indexOf(resource) / 10 + 0.05
  const made = handle(
    { method: "POST", path: `/openai/v1${path}`, headers: { "api-key": apiKey }, body: JSON.stringify(body) },
    0,
    random
  )
  if (made._tag !== "Http") throw new Error("no answer")
  const { value } = made.parts.next()
  made.finished(0)
  return JSON.parse(String((value as { readonly data: string }).data))
}

describe("what was made through the balancer is found at once, where it was made", () => {
  const read = (path: string) => (id: string) => ask(`${path}/${id}`)
  const cases: Readonly<
    Record<string, {
      readonly make: Effect.Effect<any, unknown, LoadBalancer>
      readonly use: (id: string) => Effect.Effect<any, unknown, LoadBalancer>
    }>
  > = {
    "a video": { make: ask("/videos", { model: "sora-2", prompt: "A cat." }), use: read("/videos") },
    "an assistant": { make: ask("/assistants", { model: "o3" }), use: read("/assistants") },
    "an assistant that is deleted": {
      make: ask("/assistants", { model: "o3" }),
      use: (id) => ask(`/assistants/${id}`, undefined, "DELETE")
    },
    "an assistant that is run": {
      make: ask("/assistants", { model: "o3" }),
      use: (assistant_id) => ask("/threads/runs", { assistant_id })
    },
    "a file that a response refers to": {
      make: ask("/files", {}),
      use: (file_id) =>
        ask("/responses", { model, input: [{ role: "user", content: [{ type: "input_file", file_id }] }] })
    },
    "a file that a chat refers to": {
      make: ask("/files", {}),
      use: (file_id) =>
        ask("/chat/completions", {
          model,
          messages: [{ role: "user", content: [{ type: "file", file: { file_id } }] }]
        })
    },
    "a file that a batch is made of": {
      make: ask("/files", {}),
      use: (input_file_id) => ask("/batches", { input_file_id, endpoint: "/v1/responses" })
    },
    "a vector store that is searched": {
      make: ask("/vector_stores", {}),
      use: (id) => ask("/responses", { model, input: "?", tools: [{ type: "file_search", vector_store_ids: [id] }] })
    },
    "a container that a tool uses": {
      make: ask("/containers", {}),
      use: (container) => ask("/responses", { model, input: "?", tools: [{ type: "code_interpreter", container }] })
    },
    "a response that is compacted": {
      make: ask("/responses", { model, input: "Hello" }),
      use: (id) => ask("/responses/compact", { model, previous_response_id: id })
    },
    "a response whose tokens are counted": {
      make: ask("/responses", { model, input: "Hello" }),
      use: (id) => ask("/responses/input_tokens", { model, previous_response_id: id, input: "And?" })
    },
    "a background response that is polled": {
      make: ask("/responses", { model, input: "Hello", background: true }),
      use: read("/responses")
    },
    "a background response that is cancelled": {
      make: ask("/responses", { model, input: "Hello", background: true }),
      use: (id) => ask(`/responses/${id}/cancel`, {})
    },
    "a compacted response that is gone on from": {
      make: ask("/responses/compact", { model, input: "Hello" }),
      use: (id) => ask("/responses", { model, input: [{ id: id.replace("resp_", "cmp_"), encrypted_content: "x" }] })
    }
  }
  for (const [what, { make, use }] of Object.entries(cases)) {
    it.effect(what, () => {
      // files go to another resource each time
      const one = six()
      return run(one, function*() {
        for (let i = 0; i < 12; i++) {
          const { id } = yield* make
          const { length } = one.sends
          const owner = one.sends.at(-1)!.resource
          if (what.startsWith("a compacted")) yield* Effect.ignore(use(id))
          else yield* use(id)
          assert.deepStrictEqual(since(one, length), [owner])
        }
      }, what)
    })
  }

  it.effect("a message that an item reference names: 80 turns over six resources, and nobody sees a 404", () =>
    run(six(), function*(lb, one) {
      const input: Array<any> = []
      let first: string | undefined
      for (let turn = 0; turn < 80; turn++) {
        input.push({ role: "user", content: `Turn ${turn}` })
        // the AI SDK refers to each item of the answers before
        const made = turn % 2 === 0
          ? yield* answer(lb.responses({ model, input }))
          : yield* Effect.map(answer(Stream.runCollect(lb.responsesStream({ model, input }))), (events) => {
            const last = events.at(-1)!
            if (last.type !== "response.completed") throw new Error(last.type)
            return last.response
          })
        for (const { id } of made.output) input.push({ type: "item_reference", id })
        first ??= one.sends[0]!.resource
      }
      assert.deepStrictEqual(new Set(since(one, 0)), new Set([first!]))
      assert.strictEqual(one.sends.length, 80)
    }))
})

describe("what another process made is searched for", () => {
  const cases: Readonly<
    Record<string, {
      readonly path: string
      readonly body?: object
      readonly use: (id: string) => Effect.Effect<any, unknown, LoadBalancer>
    }>
  > = {
    "a background response that is polled": {
      path: "/responses",
      body: { model, input: "Hello", background: true },
      use: (id) => ask(`/responses/${id}`)
    },
    "a background response that is cancelled": {
      path: "/responses",
      body: { model, input: "Hello", background: true },
      use: (id) => ask(`/responses/${id}/cancel`, undefined, "POST")
    },
    "a response that is deleted": {
      path: "/responses",
      body: { model, input: "Hello" },
      use: (id) => ask(`/responses/${id}`, undefined, "DELETE")
    },
    "a response that is compacted": {
      path: "/responses",
      body: { model, input: "Hello" },
      use: (id) => ask("/responses/compact", { model, previous_response_id: id })
    },
    "a response that is gone on from": {
      path: "/responses",
      body: { model, input: "Hello" },
      use: (id) => ask("/responses", { model, input: "And?", previous_response_id: id })
    },
    "a conversation that a response is part of": {
      path: "/conversations",
      use: (id) => ask("/responses", { model, input: "Hello", conversation: id })
    },
    "a conversation that a response names as an object": {
      path: "/conversations",
      use: (id) => ask("/responses", { model, input: "Hello", conversation: { id } })
    },
    "a video": { path: "/videos", use: (id) => ask(`/videos/${id}`) },
    "a batch": { path: "/batches", use: (id) => ask(`/batches/${id}`) },
    "an assistant": { path: "/assistants", use: (id) => ask(`/assistants/${id}`) },
    "a thread that is written to": {
      path: "/threads",
      use: (id) => ask(`/threads/${id}/messages`, { role: "user", content: "Hi" })
    },
    "a vector store that a file is put into": {
      path: "/vector_stores",
      use: (id) => ask(`/vector_stores/${id}/file_batches`, {})
    },
    "a file": { path: "/files", use: (id) => ask(`/files/${id}`) },
    "a file that a response refers to": {
      path: "/files",
      use: (file_id) =>
        ask("/responses", { model, input: [{ role: "user", content: [{ type: "input_file", file_id }] }] })
    },
    "a file that a batch is made of": { path: "/files", use: (input_file_id) => ask("/batches", { input_file_id }) }
  }
  for (const [what, { body, path, use }] of Object.entries(cases)) {
    it.effect(`${what}, at each resource once, for free, and is known from then on`, () =>
      run(six({ failover: { attempts: 1 } }), function*(lb, one) {
        const before = (yield* lb.snapshot).retriesLeft
        for (const owner of names) {
          const { id } = madeElsewhere(one, owner, path, body)
          const { length } = one.sends
          yield* use(id)
          const searched = since(one, length)
          assert.strictEqual(searched.at(-1), owner)
          assert.strictEqual(new Set(searched).size, searched.length)
          if (what.includes("deleted")) continue
          const known = one.sends.length
          yield* use(id)
          assert.deepStrictEqual(since(one, known), [owner])
        }
        assert.isAtLeast((yield* lb.snapshot).retriesLeft, before)
        for (const name of names) assert.deepInclude(yield* stateOf(name), { state: "healthy", inFlight: 0 })
      }, what))
  }

  it.effect("where nobody knows it, each resource is asked once, and the last one's own words are the answer", () =>
    run(six({ failover: { attempts: 1 } }), function*(lb, one) {
      for (const [path, method] of [["/files/file-4bc123", "GET"], ["/responses/resp_9bc123", "DELETE"]] as const) {
        const { length } = one.sends
        const error = yield* failure(lb.request({ path, method }))
        const { body, description, status } = reasonOf(error, "Rejected")
        assert.strictEqual(status, 404)
        assert.include(description, path.slice(path.lastIndexOf("/") + 1))
        assert.property(body, "error")
        assert.sameMembers(since(one, length), names)
      }
    }))

  it.effect("also over resources that have no model in common", () =>
    run(fleet(names.map((name) => service(name, { name: `only-${name}` }))), function*(_, one) {
      for (const owner of names) {
        const { id } = madeElsewhere(one, owner, "/files")
        assert.strictEqual((yield* ask(`/files/${id}`)).id, id)
      }
    }))

  it.effect("beyond a resource that fails, which is asked again if no other has it", () =>
    run(six({ defaultResource: "r2" }), function*(_, one) {
      one.services["r2"]!.fault("*", { kind: "status", status: 500, times: 1 })
      const { id } = madeElsewhere(one, "r4", "/files")
      yield* ask(`/files/${id}`)
      assert.strictEqual(one.sends.at(-1)!.resource, "r4")
      const other = madeElsewhere(one, "r2", "/files")
      one.services["r2"]!.fault("*", { kind: "status", status: 500, times: 1 })
      yield* ask(`/files/${other.id}`)
      assert.strictEqual(one.sends.at(-1)!.resource, "r2")
    }))

  it.effect("also where its owner has left the set: the service says that it is gone", () =>
    run(six(), function*(lb, one, { members }) {
      const { id } = yield* answer(lb.responses({ model, input: "Hello" }))
      const owner = one.sends[0]!.resource
      for (const name of [model, "sora-2", "o3"]) yield* members.remove(`${owner}/${name}`)
      const error = yield* failure(lb.responses({ model, input: "And?", previous_response_id: id }))
      assert.strictEqual(reasonOf(error, "Rejected").code, "previous_response_not_found")
      assert.sameMembers(since(one, 1), names.filter((name) => name !== owner))
    }))
})

describe("a word in a path", () => {
  const words = ["/responses/input_tokens", "/fine_tuning/jobs", "/realtime/client_secrets", "/vector_stores"]
  for (const path of words) {
    it.effect(`is no id, and pins nothing: ${path}`, () =>
      run(six({ defaultResource: "r3" }), function*(lb, one) {
        const body = path.includes("input_tokens") ? { model, input: "Hi" } : undefined
        for (let i = 0; i < 30; i++) yield* Effect.exit(answer(lb.request({ path, body })))
        if (body === undefined) assert.deepStrictEqual(new Set(since(one, 0)), new Set(["r3"]))
        else assert.isAbove(new Set(since(one, 0)).size, 3)
      }))
  }

  it.effect("with a model fails over, however often it was asked before", () =>
    run(six({ tiers: { r0: 1, r1: 2, r2: 3, r3: 3, r4: 3, r5: 3 } }), function*(_, one) {
      const body = { model, input: "Hi" }
      yield* ask("/responses/input_tokens", body)
      one.services["r0"]!.fault("*", { kind: "status", status: 500 })
      yield* ask("/responses/input_tokens", body)
      assert.deepStrictEqual(since(one, 0), ["r0", "r0", "r1"])
    }))
})
