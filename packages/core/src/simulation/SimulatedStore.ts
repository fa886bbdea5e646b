/**
 * What a resource keeps: responses and their items, conversations, files, vector stores, videos, assistants, threads and
 * their like. No other resource knows any of them.
 */
import * as Errors from "./SimulatedErrors.ts"
import type { Json } from "./SimulatedPrompt.ts"

/**
 * A stored thing.
 */
export interface Stored {
  /** The object once it is done. */
  readonly object: Json
  /** The object until then. */
  readonly pending: Json
  readonly readyAt: number
  /** What it says, for whoever goes on from it: all of a conversation up to and with it. */
  readonly text: string
}

/**
 * The stored things of one resource.
 */
export interface SimulatedStore {
  /** Keeps a thing, or keeps it as it is now. What is left out: it is ready, and says nothing. */
  readonly put: (id: string, thing: Partial<Stored> & Pick<Stored, "object">) => void
  readonly get: (id: string) => Stored | undefined
  /** Whether it was there. */
  readonly remove: (id: string) => boolean
  /** Things whose ids begin so, the oldest first. */
  readonly list: (prefix: string) => ReadonlyArray<Stored>
}

/**
 * Creates an empty store. It forgets the oldest things beyond `maxCharacters` of text.
 */
export const make = (maxCharacters = 32_000_000): SimulatedStore => {
  const things = new Map<string, Stored>()
  const sizeOf = ({ object, text }: Stored): number => text.length + (object["object"] === "response" ? 2_000 : 0)
  let characters = 0
  const remove = (id: string): boolean => {
    const found = things.get(id)
    if (found === undefined) return false
    characters -= sizeOf(found)
    return things.delete(id)
  }
  return {
    put(id, { object, pending = object, readyAt = 0, text = "" }) {
      remove(id)
      const thing = { object, pending, readyAt, text }
      things.set(id, thing)
      characters += sizeOf(thing)
      for (const oldest of things.keys()) {
        if (characters <= maxCharacters || oldest === id) break
        remove(oldest)
      }
    },
    get: (id) => things.get(id),
    remove,
    list: (prefix) => [...things].filter(([id]) => id.startsWith(prefix)).map(([, thing]) => thing)
  }
}

/**
 * A kind of stored thing, by the path under which it is found.
 */
export interface Kind {
  /** How its ids begin. */
  readonly prefix: string
  /** What its `object` says. */
  readonly object: string
  /** What a service answers about one that it does not have. */
  readonly missing: (id: string) => string
}

const withId = (what: string) => (id: string): string => `${what} with id '${id}' not found.`
const noneFound = (what: string) => (id: string): string => `No ${what} found with id '${id}'.`

/**
 * Kinds that have a path of their own.
 */
export const kinds: Readonly<Record<string, Kind>> = {
  responses: { prefix: "resp_", object: "response", missing: withId("Response") },
  conversations: { prefix: "conv_", object: "conversation", missing: withId("Conversation") },
  files: { prefix: "file-", object: "file", missing: (id) => `No such File object: ${id}` },
  vector_stores: { prefix: "vs_", object: "vector_store", missing: noneFound("vector store") },
  videos: { prefix: "video_", object: "video", missing: withId("Video") },
  assistants: { prefix: "asst_", object: "assistant", missing: noneFound("assistant") },
  threads: { prefix: "thread_", object: "thread", missing: noneFound("thread") },
  batches: { prefix: "batch_", object: "batch", missing: noneFound("batch") },
  containers: { prefix: "cntr_", object: "container", missing: withId("Container") }
}

/**
 * Kinds that are part of another thing: `/threads/thread_1/messages`.
 */
export const parts: Readonly<Record<string, Kind>> = {
  messages: { prefix: "msg_", object: "thread.message", missing: noneFound("message") },
  runs: { prefix: "run_", object: "thread.run", missing: noneFound("run") },
  items: { prefix: "msg_", object: "conversation.item", missing: withId("Item") },
  file_batches: { prefix: "vsfb_", object: "vector_store.files_batch", missing: noneFound("file batch") },
  files: { prefix: "file-", object: "vector_store.file", missing: noneFound("file") }
}

/**
 * The error about a thing that is not there.
 */
export const missing = (id: string): Errors.ErrorResponse => {
  const kind = [...Object.values(kinds), ...Object.values(parts)].find(({ prefix }) => id.startsWith(prefix))
  return Errors.notFound((kind?.missing ?? withId("Item"))(id))
}

/** Keys under which requests name things that are stored. */
const referring = new Set([
  "file_id",
  "file_ids",
  "input_file_id",
  "training_file",
  "validation_file",
  "vector_store_id",
  "vector_store_ids",
  "container",
  "assistant_id",
  "thread_id"
])

/**
 * Ids of the stored things that any part of a request names.
 */
export const referencesOf = (value: unknown, key = ""): ReadonlyArray<string> => {
  if (typeof value === "string") return referring.has(key) ? [value] : []
  if (typeof value !== "object" || value === null) return []
  return Array.isArray(value)
    ? value.flatMap((item) => referencesOf(item, key))
    : Object.entries(value).flatMap(([name, item]) => referencesOf(item, name))
}
