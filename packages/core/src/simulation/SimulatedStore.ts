/**
 * What a resource keeps: responses and conversations, which no other resource knows.
 */
import type { Json } from "./SimulatedPrompt.ts"

/**
 * A stored response.
 */
export interface StoredResponse {
  /** The object once it is done. */
  readonly object: Json
  /** The object until then. */
  readonly pending: Json
  readonly readyAt: number
  /** All of the conversation up to and with it, for whoever goes on from it. */
  readonly text: string
}

/**
 * The stored things of one resource.
 */
export interface SimulatedStore {
  readonly put: (id: string, response: StoredResponse) => void
  readonly get: (id: string) => StoredResponse | undefined
  /** Whether it was there. */
  readonly remove: (id: string) => boolean
  readonly createConversation: (id: string, now: number) => Json
  readonly conversation: (id: string) => { readonly object: Json; text: string } | undefined
  readonly removeConversation: (id: string) => boolean
}

/**
 * Creates an empty store. It forgets the oldest responses beyond `maxCharacters` of text.
 */
export const make = (maxCharacters = 32_000_000): SimulatedStore => {
  const responses = new Map<string, StoredResponse>()
  const conversations = new Map<string, { readonly object: Json; text: string }>()
  const overhead = 2_000
  let characters = 0
  const remove = (id: string): boolean => {
    const found = responses.get(id)
    if (found === undefined) return false
    characters -= found.text.length + overhead
    return responses.delete(id)
  }
  return {
    put(id, response) {
      remove(id)
      responses.set(id, response)
      characters += response.text.length + overhead
      for (const oldest of responses.keys()) {
        if (characters <= maxCharacters || oldest === id) break
        remove(oldest)
      }
    },
    get: (id) => responses.get(id),
    remove,
    createConversation(id, now) {
      const object = { id, object: "conversation", created_at: Math.floor(now / 1_000), metadata: {} }
      conversations.set(id, { object, text: "" })
      return object
    },
    conversation: (id) => conversations.get(id),
    removeConversation: (id) => conversations.delete(id)
  }
}
