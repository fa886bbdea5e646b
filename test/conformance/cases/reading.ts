/**
 * Ways to read a stream, and to leave it.
 */
import type { OpenAI } from "openai"
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream"
import type { Stream } from "openai/streaming"
import type { Case } from "../Case.ts"
import { items, seen } from "../Seen.ts"
import type { Answer } from "../Server.ts"
import { chunks, completed, headers, hello, messages, responseStart, responseStreamed, streamed } from "./Answers.ts"

const chat = (client: OpenAI, signal?: AbortSignal) =>
  client.chat.completions.create({ ...hello, stream: true }, signal === undefined ? {} : { signal })
const ask = { model: "gpt-4o", input: "Say hello." }

/** A stream whose rest never comes. */
const hanging: Answer = { headers, chunks: chunks("Hel", "lo").slice(0, 3), after: "hang" }

const hangingResponse: Answer = { headers, chunks: responseStart(6), after: "hang" }

/** The first items of a stream. */
const first = async (stream: Stream<unknown>, count: number): Promise<ReadonlyArray<unknown>> => {
  const found: Array<unknown> = []
  for await (const item of stream) {
    found.push(item)
    if (found.length === count) break
  }
  return found
}

/** What a helper tells of a stream, in order. */
const events = async (
  stream: { readonly on: (event: never, listener: (...args: ReadonlyArray<unknown>) => void) => unknown },
  names: ReadonlyArray<string>,
  end: () => Promise<unknown>
): Promise<unknown> => {
  const told: Array<unknown> = []
  for (const name of names) {
    // what is told is changed later
    stream.on(
      name as never,
      (...args) => told.push([name, structuredClone(args.filter((arg) => !(arg instanceof Error)))])
    )
  }
  const result = await end().then(seen, async (error: unknown) => ({ threw: await seen(error) }))
  return { told, result }
}

const chatEvents = [
  "connect",
  "chunk",
  "content",
  "content.delta",
  "content.done",
  "message",
  "chatCompletion",
  "finalContent",
  "finalMessage",
  "totalUsage",
  "error",
  "abort",
  "end"
]

const responseEvents = [
  "response.created",
  "response.output_text.delta",
  "response.output_text.done",
  "response.completed",
  "error",
  "end"
]

export const cases: ReadonlyArray<Case> = [
  {
    name: "reading: the helper's events",
    script: [streamed],
    call: (client) => {
      const stream = client.chat.completions.stream(hello)
      return events(stream as never, chatEvents, () => stream.finalChatCompletion())
    }
  },
  {
    name: "reading: the helper's events of a stream that breaks",
    script: [{ ...hanging, after: "cut" }],
    call: (client) => {
      const stream = client.chat.completions.stream(hello)
      return events(stream as never, chatEvents, () => stream.finalChatCompletion())
    }
  },
  ...["finalContent", "finalMessage", "totalUsage", "done"].map((how): Case => ({
    name: `reading: the helper's ${how}`,
    script: [streamed],
    call: (client) => {
      const stream = client.chat.completions.stream(hello)
      return (stream[how as never] as () => unknown).call(stream)
    }
  })),
  {
    name: "reading: the helper as an iterable",
    script: [streamed],
    call: (client) => items(client.chat.completions.stream(hello))
  },
  {
    name: "reading: a stream that nobody reads to its end",
    script: [streamed],
    call: async (client) => first(await chat(client), 2)
  },
  {
    name: "reading: the Responses helper's events",
    script: [responseStreamed()],
    call: (client) => {
      const stream = client.responses.stream(ask)
      return events(stream as never, responseEvents, () => stream.finalResponse())
    }
  },
  {
    name: "reading: the Responses helper as an iterable",
    script: [responseStreamed()],
    call: (client) => items(client.responses.stream(ask))
  },
  {
    name: "reading: the Responses helper's stream that breaks",
    script: [{ ...hangingResponse, after: "cut" }],
    call: (client) => items(client.responses.stream(ask))
  },
  {
    name: "reading: a stream that is split in two",
    script: [streamed],
    call: async (client) => {
      const [left, right] = (await chat(client)).tee()
      return Promise.all([items(left), items(right)])
    }
  },
  {
    name: "reading: a stream that is split in two, one of which is left",
    script: [streamed],
    call: async (client) => {
      const [left, right] = (await chat(client)).tee()
      return [await first(left, 1), await items(right)]
    }
  },
  {
    name: "reading: as lines for a browser",
    script: [streamed],
    call: async (client) => (await chat(client)).toReadableStream()
  },
  {
    name: "reading: the helper as lines for a browser",
    script: [streamed],
    call: (client) => client.chat.completions.stream(hello).toReadableStream()
  },
  {
    name: "reading: as lines, and a stream of them again",
    script: [streamed],
    call: async (client) => {
      const lines = client.chat.completions.stream(hello).toReadableStream()
      return ChatCompletionStream.fromReadableStream(lines).finalChatCompletion()
    }
  },
  {
    name: "reading: twice",
    script: [streamed],
    call: async (client) => {
      const stream = await chat(client)
      return [await items(stream), await items(stream)]
    }
  },
  {
    name: "leaving: the loop, and the service is told",
    script: [hanging],
    call: async (client, play) => {
      const found = await first(await chat(client), 2)
      await play.abandoned()
      return found
    }
  },
  {
    name: "leaving: the loop of a response",
    script: [hangingResponse],
    call: async (client, play) => {
      const found = await first(await client.responses.create({ ...ask, stream: true }), 3)
      await play.abandoned()
      return found
    }
  },
  {
    name: "leaving: by the stream's controller",
    script: [hanging],
    call: async (client, play) => {
      const stream = await chat(client)
      const found: Array<unknown> = []
      for await (const item of stream) {
        found.push(item)
        if (found.length === 3) stream.controller.abort()
      }
      await play.abandoned()
      return found
    }
  },
  {
    name: "leaving: by a signal in the middle",
    script: [hanging],
    call: async (client, play) => {
      const aborting = new AbortController()
      const stream = await chat(client, aborting.signal)
      const found: Array<unknown> = []
      for await (const item of stream) {
        found.push(item)
        if (found.length === 3) aborting.abort()
      }
      await play.abandoned()
      return found
    }
  },
  {
    name: "leaving: by a signal with a reason of the caller's",
    script: [hanging],
    call: async (client, play) => {
      const aborting = new AbortController()
      const stream = await chat(client, aborting.signal)
      let count = 0
      const read = async () => {
        for await (const _ of stream) if (++count === 3) aborting.abort(new Error("enough"))
      }
      const ended = await read().then(() => "ended", seen)
      await play.abandoned()
      return { count, ended }
    }
  },
  {
    name: "leaving: the helper's abort",
    script: [hanging],
    call: async (client, play) => {
      const stream = client.chat.completions.stream(hello)
      let count = 0
      stream.on("chunk", () => {
        if (++count === 3) stream.abort()
      })
      const ended = await stream.finalMessage().then(seen, seen)
      await play.abandoned()
      return { ended, aborted: stream.aborted, ended_: stream.ended, errored: stream.errored }
    }
  },
  {
    name: "leaving: a response of which the body is given up",
    script: [hanging],
    call: async (client, play) => {
      const response = await chat(client).asResponse()
      const reader = response.body!.getReader()
      const { done, value } = await reader.read()
      await reader.cancel()
      await play.abandoned()
      return { done, hasBytes: value!.length > 0, after: await reader.read() }
    }
  },
  {
    name: "leaving: before it is sent",
    script: [completed],
    call: (client) => client.chat.completions.create(hello, { signal: AbortSignal.abort() })
  },
  {
    name: "leaving: before it is sent, with a reason",
    script: [completed],
    call: (client) => client.chat.completions.create(hello, { signal: AbortSignal.abort(new Error("enough")) })
  },
  ...[true, false].map((stream): Case => ({
    name: `leaving: before the headers of a ${stream ? "stream" : "whole answer"}`,
    script: [{ silent: true }],
    call: async (client, play) => {
      const aborting = new AbortController()
      const asked = client.chat.completions.create({ model: "gpt-4o", messages, stream }, { signal: aborting.signal })
      const failed = asked.then(seen, seen)
      await play.arrived(1)
      aborting.abort()
      const error = await failed
      await play.abandoned()
      return error
    }
  })),
  {
    name: "leaving: before the headers of another endpoint",
    script: [{ silent: true }],
    call: async (client, play) => {
      const aborting = new AbortController()
      const failed = client.files.list({}, { signal: aborting.signal }).then(seen, seen)
      await play.arrived(1)
      aborting.abort()
      const error = await failed
      await play.abandoned()
      return error
    }
  },
  ...([
    ["a whole answer", (client) => client.chat.completions.create(hello, { timeout: 60 })],
    ["a stream", (client) => client.chat.completions.create({ ...hello, stream: true }, { timeout: 60 })],
    ["another endpoint", (client) => client.files.list({}, { timeout: 60 })]
  ] as ReadonlyArray<readonly [string, Case["call"]]>).map(([name, call]): Case => ({
    name: `timeout: of ${name}`,
    ignoresSent: true,
    script: [{ silent: true }],
    call
  })),
  {
    name: "timeout: of the client",
    ignoresSent: true,
    script: [{ silent: true }],
    client: { timeout: 60 },
    call: (client) => client.chat.completions.create(hello)
  },
  {
    name: "timeout: that a stream outlives once it has begun",
    script: [streamed],
    call: (client) => client.chat.completions.create({ ...hello, stream: true }, { timeout: 5_000 })
  }
]
