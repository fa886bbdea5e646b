/**
 * Pages of lists, and states that are polled: what the client makes of several answers.
 */
import type { OpenAI } from "openai"
import { type Case, shared } from "../Case.ts"
import { items, seen } from "../Seen.ts"
import type { Answer } from "../Server.ts"
import { headers, refusal } from "./Answers.ts"

// --- pages ------------------------------------------------------------------------------------------------------------

/** Three pages of two, by the cursor that the client sends. */
const pages = ({ query }: { readonly query: string }): Answer => {
  const after = Number(/after=item_(\d)/.exec(query)?.[1] ?? 0)
  const data = [after + 1, after + 2].map((n) => ({ id: `item_${n}`, object: "item", n }))
  return { headers, json: { object: "list", data, has_more: after < 4, first_id: data[0]!.id, last_id: data[1]!.id } }
}

const lists: ReadonlyArray<readonly [string, (client: OpenAI) => AsyncIterable<unknown>]> = [
  ["files", (client) => client.files.list({ limit: 2, purpose: "batch" })],
  ["batches", (client) => client.batches.list({ limit: 2 })],
  ["models", (client) => client.models.list()],
  ["stored completions", (client) => client.chat.completions.list({ metadata: { of: "conformance" } })],
  [
    "a response's items",
    (client) => client.responses.inputItems.list("resp_1234567", { include: ["message.output_text.logprobs"] })
  ],
  ["a conversation's items", (client) => client.conversations.items.list("conv_1234567", { limit: 2 })],
  ["vector stores", (client) => client.vectorStores.list({ order: "asc" })],
  ["fine-tunes", (client) => client.fineTuning.jobs.list({ limit: 2 })],
  ["assistants", (client) => client.beta.assistants.list({ limit: 2 })]
]

const paging: ReadonlyArray<Case> = [
  ...lists.map(([name, list]): Case => ({
    name: `pages: of ${name}, all of them`,
    script: pages,
    call: (client) => items(list(client))
  })),
  {
    name: "pages: one after the other",
    script: pages,
    call: async (client) => {
      const first = await client.files.list({ limit: 2 })
      const second = await first.getNextPage()
      const third = await second.getNextPage()
      return {
        pages: await Promise.all([first, second, third].map(seen)),
        more: await third.getNextPage().then(seen, seen)
      }
    }
  },
  {
    name: "pages: as pages",
    script: pages,
    call: async (client) => {
      const found: Array<unknown> = []
      for await (
        const page of (await client.files.list({ limit: 2 }, { headers: { "openai-beta": "of=v1" } })).iterPages()
      ) found.push(page.data)
      return found
    }
  },
  {
    name: "pages: the second is refused",
    script: (sent, index) => index === 0 ? pages(sent) : { status: 400, headers, json: refusal("No such cursor.") },
    call: (client) => items(client.files.list({ limit: 2 }))
  },
  {
    name: "pages: with the response of the first",
    script: pages,
    call: async (client) => {
      const { data, request_id } = await client.files.list({ limit: 2 }).withResponse()
      return { data, request_id }
    }
  },
  {
    name: "pages: left after the first",
    script: pages,
    call: async (client) => {
      for await (const item of client.files.list({ limit: 2 })) return item
      return undefined
    }
  },
  {
    name: "pages: an empty list",
    script: [{ headers, json: { object: "list", data: [], has_more: false } }],
    call: (client) => client.files.list()
  }
]

// --- polling ----------------------------------------------------------------------------------------------------------

/** A state that is the last one at the third look. */
const becoming = (last: string, more: object = {}) => (_: unknown, index: number): Answer => ({
  headers: { ...headers, "openai-poll-after-ms": "1" },
  json: {
    id: "thing_1234567",
    object: "thing",
    thread_id: "thread_1234567",
    status: index < 2 ? "in_progress" : last,
    ...more
  }
})

const polling: ReadonlyArray<Case> = [
  {
    name: "polling: an assistant's run",
    script: becoming("completed"),
    call: (client) => client.beta.threads.runs.createAndPoll("thread_1234567", { assistant_id: "asst_1234567" })
  },
  {
    name: "polling: a file of a vector store",
    script: becoming("completed"),
    call: (client) =>
      client.vectorStores.files.createAndPoll("vs_1234567", { file_id: "file-1234567" }, { pollIntervalMs: 1 })
  },
  {
    name: "polling: a file that is processed",
    script: becoming("processed"),
    call: (client) => client.files.waitForProcessing("file-1234567", { pollInterval: 1 })
  },
  {
    name: "polling: a response in the background",
    script: becoming("completed"),
    call: async (client) => {
      const { id } = await client.responses.create({ model: "gpt-4o", input: "Think.", background: true })
      await client.responses.retrieve(id)
      return client.responses.retrieve(id)
    }
  },
  {
    name: "polling: is refused in its middle",
    script: (_, index) =>
      index < 1 ? becoming("completed")(_, index) : { status: 404, headers, json: refusal("No such run.") },
    call: (client) => client.beta.threads.runs.createAndPoll("thread_1234567", { assistant_id: "asst_1234567" })
  }
]

// a refusal harms no other case
export const cases: ReadonlyArray<Case> = shared([...paging, ...polling])
