/**
 * A case for every method of every group of the client that is installed, made of the client itself: nobody has to
 * add one when a new version has more.
 *
 * What a method wants is read of its own source: names of parameters are the client's convention for ids in a path,
 * bodies and queries.
 */
import type OpenAI from "openai"
import { toFile } from "openai"
import type { Case } from "./Case.ts"
import type { Answer, Sent } from "./Server.ts"

type Method = (...args: Array<unknown>) => unknown

/** A method's way from the client, such as `chat.completions.create`. */
export interface Found {
  readonly path: string
  readonly group: string
  readonly source: string
}

const isGroup = (value: unknown): value is object => typeof value === "object" && value !== null && "_client" in value

/** Every method of every group below the client. */
export const methodsOf = (client: OpenAI): ReadonlyArray<Found> => {
  const walk = (group: object, path: string): ReadonlyArray<Found> => [
    ...(path === "" ? [] : ownMethods(group, path)),
    ...Object.entries(group).flatMap(([name, value]) =>
      name !== "_client" && isGroup(value) ? walk(value, path === "" ? name : `${path}.${name}`) : []
    )
  ]
  return walk(client, "")
}

const ownMethods = (group: object, path: string): ReadonlyArray<Found> => {
  const found: Array<Found> = []
  for (
    let type = Object.getPrototypeOf(group) as object;
    type !== Object.prototype;
    type = Object.getPrototypeOf(type)
  ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (name === "constructor" || typeof value !== "function" || name.startsWith("_")) continue
      found.push({ path: `${path}.${name}`, group: path, source: String(value) })
    }
  }
  return found
}

/** Names in the list of parameters, without what is no name of one. */
const parametersOf = (source: string): ReadonlyArray<string> => {
  const [, list = ""] = /\(([^)]*)\)/.exec(source) ?? []
  return list.replaceAll(/=\s*\{[^}]*\}/g, "").split(",").map((name) => name.split("=")[0]!.trim())
    .filter((name) => name !== "" && name !== "options")
}

/** What a method takes out of its parameters for the path or a header. */
const takenFrom = (source: string): ReadonlyArray<string> =>
  [...source.matchAll(/const \{([^}]*)\} = (?:params|query|body)\b/g)].flatMap(([, names = ""]) =>
    names.split(",").map((name) => name.split(/[:=]/)[0]!.trim().replaceAll(/['"]/g, ""))
  ).filter((name) => name !== "" && !name.startsWith("..."))

/** Any body: what is not asked for is only passed on. */
const bodyOf = async (source: string): Promise<object> => ({
  model: "gpt-4o",
  input: "Say hello.",
  messages: [{ role: "user", content: "Say hello." }],
  metadata: { of: "conformance" },
  thread_id: "thread_1234567",
  ...(/[mM]ultipart/.test(source) ? { file: await toFile(Buffer.from("one\ntwo\n"), "lines.txt") } : {}),
  ...Object.fromEntries(takenFrom(source).map((name) => [name, `${name}_1234567`]))
})

const argumentsOf = (source: string): Promise<Array<unknown>> =>
  Promise.all(
    parametersOf(source).map(async (name) => {
      if (name === "body" || name === "params") return bodyOf(source)
      if (name === "query") return { limit: 2, order: "asc", metadata: { of: "conformance" }, include: ["one", "two"] }
      if (name === "file") return toFile(Buffer.from("one\ntwo\n"), "lines.txt")
      if (name === "model") return "gpt-4o"
      return `${name.toLowerCase()}_1234567`
    })
  )

/** An answer that every method can do something with. */
const answerOf = ({ body, headers, method, path }: Sent): Answer => {
  const shared = { headers: { "x-request-id": `req-of-${method}` } }
  if (headers["accept"]?.includes("event-stream") === true) {
    return { ...shared, chunks: [`event: told\ndata: {"type":"told","sequence_number":1}\n\n`, "data: [DONE]\n\n"] }
  }
  const json = {
    id: "thing_7654321",
    object: "thing",
    status: path.startsWith("/files") ? "processed" : "completed",
    thread_id: "thread_1234567",
    told: { method, path, body },
    // two numbers, as the client asks for them, where it looks for an embedding
    data: ["one_1234567", "two_1234567"].map((id) => ({ id, object: "item", embedding: "AACAPwAAAEA=" })),
    has_more: false,
    first_id: "one_1234567",
    last_id: "two_1234567"
  }
  return { ...shared, json }
}

/** Helpers that read a stream, call tools, parse or take several files want something of their own. */
const isHelper = (path: string): boolean =>
  /(\.stream|Stream|\.runTools|\.parse|\.unwrap|\.verifySignature|\.prepare|environments\.files\.upload|\.forResult|fileBatches\.uploadAndPoll)$/
    .test(path)

/** One case for each method. */
export const cases = (methods: ReadonlyArray<Found>): ReadonlyArray<Case> =>
  methods.filter(({ path }) => !isHelper(path)).map(({ path, source }) => ({
    name: `method: ${path}`,
    isShared: true,
    script: answerOf,
    call: async (client) => {
      const names = path.split(".")
      const group = names.slice(0, -1).reduce((at, name) => at[name as never] as object, client as object)
      const method = group[names.at(-1) as never] as Method
      return method.apply(group, await argumentsOf(source))
    }
  }))
