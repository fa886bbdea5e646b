/**
 * Ids of stored things: those that a request refers to, and those that an answer makes known. Only the resource that made
 * a thing knows it: a response and each item of its output, a conversation, a file, a vector store, a video, an assistant.
 */
import * as Hash from "effect/Hash"
import { isRecord, textOf as text } from "./Json.ts"

/**
 * What a request is tied to: things that only the resource which made them knows.
 */
export interface HardPin {
  /** Ids of what it refers to, the most telling first. */
  readonly ids: ReadonlyArray<string>
  /** Whether the path itself names one of them, so that a 404 in any words says that it is not there. */
  readonly isInPath: boolean
}

/**
 * Ids as OpenAI and Azure write them: a word, and what no word of an API's path has, a digit or a capital, in at least six
 * characters (`file-4bc123`, `resp_0aB1c2`); or a GUID.
 */
const idShape = /^(?:[a-z]+[-_](?=.*[\dA-Z])[\w.~-]{6,}|[\da-f]{8}-[\da-f]{4}-[\da-f-]{22,})$/

/** Collections whose members have names, and no ids. */
const named = new Set(["models", "deployments", "engines"])

/** Whether a text looks like the id of something that is stored. */
export const isId = (name: string): boolean => idShape.test(name)

/** Ids in a path: `/responses/resp_0aB1c2`, `/files/file-4bc123/content`. */
export const idsOfPath = (path: string): ReadonlyArray<string> => {
  if (!/\d|[A-Z]/.test(path)) return []
  const segments = path.split("/")
  return segments.filter((segment, i) => isId(segment) && !named.has(segments[i - 1]!))
}

/** Keys under which a request or an answer names what is stored. */
const referring: ReadonlySet<string> = new Set([
  "previous_response_id",
  "response_id",
  "file_id",
  "file_ids",
  "input_file_id",
  "output_file_id",
  "error_file_id",
  "training_file",
  "validation_file",
  "vector_store_id",
  "vector_store_ids",
  "container",
  "container_id",
  "assistant_id",
  "thread_id",
  "part_ids"
])

/** Keys below which everything is the caller's own: schemas of tools and answers, labels, arguments. */
const foreign: ReadonlySet<string> = new Set([
  "metadata",
  "attributes",
  "parameters",
  "input_schema",
  "json_schema",
  "schema",
  "variables",
  "function"
])

/** Longer than any id. */
const MAX_ID = 256

/** How deep a request is looked through. */
const MAX_DEPTH = 8

/** Ids of what a request's parameters refer to. */
export const idsOfParameters = (parameters: Readonly<Record<string, unknown>>): ReadonlyArray<string> => {
  const ids: Array<string> = []
  const previous = text(parameters["previous_response_id"])
  if (previous !== undefined) ids.push(previous)
  // a stored prompt may stand in place of model and input
  for (const key of ["conversation", "prompt"]) {
    const value = parameters[key]
    const id = isRecord(value) ? text(value["id"]) : key === "prompt" ? undefined : text(value)
    if (id !== undefined) ids.push(id)
  }
  collect(parameters, ids, MAX_DEPTH)
  return ids
}

/** Ids of what the messages of a chat refer to: files, in contents of several parts. */
export const idsOfMessages = (messages: unknown): ReadonlyArray<string> => {
  let ids: Array<string> | undefined
  if (!Array.isArray(messages)) return none
  for (const message of messages) {
    const content: unknown = isRecord(message) ? message["content"] : undefined
    if (Array.isArray(content)) collectAll("content", content, ids ??= [], MAX_DEPTH)
  }
  return ids ?? none
}

const none: ReadonlyArray<string> = []

const collect = (record: Readonly<Record<string, unknown>>, ids: Array<string>, depth: number): void => {
  let id: string | undefined
  let encrypted: string | undefined
  let refers = false
  for (const key in record) {
    const value = record[key]
    if (typeof value === "string") {
      if (value === "") continue
      if (key === "id") id = value
      else if (key === "type") refers = value === "item_reference" || value === "file_id"
      else if (key === "encrypted_content") encrypted = value
      // what is long is content
      else if (value.length < MAX_ID && key !== "previous_response_id" && referring.has(key)) ids.push(value)
    } else if (typeof value === "object" && value !== null && depth > 0 && !foreign.has(key)) {
      if (!Array.isArray(value)) collect(value as Record<string, unknown>, ids, depth - 1)
      else collectAll(key, value, ids, depth)
    }
  }
  if (encrypted !== undefined) ids.push(id ?? encryptedKey(encrypted))
  else if (refers && id !== undefined) ids.push(id)
}

const collectAll = (key: string, values: ReadonlyArray<unknown>, ids: Array<string>, depth: number): void => {
  const isReferring = referring.has(key)
  for (const value of values) {
    if (isRecord(value)) collect(value, ids, depth - 1)
    else if (isReferring && typeof value === "string" && value !== "") ids.push(value)
  }
}

/** A short name for encrypted content that came without an id. */
export const encryptedKey = (content: string): string => `encrypted:${Hash.string(content)}:${content.length}`

/** What a request is tied to, by its path and by its parameters; nothing where it names nothing that is stored. */
export const pinOf = (inPath: ReadonlyArray<string>, inBody: ReadonlyArray<string>): HardPin | undefined =>
  inPath.length === 0 && inBody.length === 0
    ? undefined
    : { ids: inPath.length === 0 ? inBody : [...inPath, ...inBody], isInPath: inPath.length > 0 }

/** Ids that an answer makes known: its own, its conversation's, those of its items, and of what it was made from. */
export const idsOfAnswer = (answer: Readonly<Record<string, unknown>>): Array<string> => {
  const ids: Array<string> = []
  const id = text(answer["id"])
  if (id !== undefined) ids.push(id)
  const conversation = answer["conversation"]
  if (isRecord(conversation) && text(conversation["id"]) !== undefined) ids.push(text(conversation["id"])!)
  for (const item of recordsOf(answer["output"])) {
    const own = text(item["id"])
    const encrypted = text(item["encrypted_content"])
    const container = text(item["container_id"])
    if (own !== undefined) ids.push(own)
    else if (encrypted !== undefined) ids.push(encryptedKey(encrypted))
    if (container !== undefined) ids.push(container)
  }
  for (const member of recordsOf(answer["data"])) {
    const own = text(member["id"])
    // a list of models has names for ids
    if (own !== undefined && isId(own)) ids.push(own)
  }
  for (const key of madeFrom) {
    const value = text(answer[key])
    if (value !== undefined) ids.push(value)
  }
  return ids
}

/** Files that a batch or a fine-tuning job writes, and the thread that is made with a run. */
const madeFrom = ["output_file_id", "error_file_id", "thread_id"]

const recordsOf = (list: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(list) ? list.filter(isRecord) : []
