/**
 * Event streams as they come: every form of an event, and every way to end.
 */
import type { OpenAI } from "openai"
import { type Case, shared } from "../Case.ts"
import { items } from "../Seen.ts"
import type { Answer } from "../Server.ts"
import {
  chunk,
  chunks,
  done,
  event,
  headers,
  hello,
  refusal,
  response,
  responseStart,
  responseStreamed,
  streamed
} from "./Answers.ts"

const chat = (client: OpenAI) => client.chat.completions.create({ ...hello, stream: true })
const ask = { model: "gpt-4o", input: "Say hello." }
const respond = (client: OpenAI) => client.responses.create({ ...ask, stream: true })

const of = (...parts: ReadonlyArray<string | Uint8Array>): Answer => ({ headers, chunks: parts })

/** The same stream in other bytes. */
const rewritten = (write: (text: string) => string): Answer => of(write(streamed.chunks!.join("")))

/** The same stream in pieces of so many bytes. */
const pieces = (text: string, size: number): Answer => {
  const bytes = Buffer.from(text)
  return of(
    ...Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
  )
}

const overloaded = { message: "The server is overloaded.", type: "server_error", code: "server_error", param: null }
const begun = chunks("Hel", "lo")

/** Chat streams by what is odd about them. */
const chatStreams: ReadonlyArray<readonly [string, Answer]> = [
  ["as it should be", streamed],
  ["in one piece", of(streamed.chunks!.join(""))],
  ["in pieces of 7 bytes", pieces(streamed.chunks!.join(""), 7)],
  [
    "in pieces of 3 bytes, in every script",
    pieces([...chunks("Grüße, ", "東京", "\u{1f600}\u2028"), done].join(""), 3)
  ],
  ["with lines that end in CRLF", rewritten((text) => text.replaceAll("\n", "\r\n"))],
  ["with CRLF in pieces of 5 bytes", pieces(streamed.chunks!.join("").replaceAll("\n", "\r\n"), 5)],
  ["with lines that end in CR", rewritten((text) => text.replaceAll("\n", "\r"))],
  [
    "with comments to keep it alive",
    of(": keep-alive\n\n", begun[0]!, ":\n\n: ping\n\n", ...begun.slice(1), ": bye\n\n", done)
  ],
  ["without a space after the colon", rewritten((text) => text.replaceAll("data: ", "data:"))],
  ["with ids and times to retry", rewritten((text) => text.replaceAll("data: ", "id: 7\nretry: 10\ndata: "))],
  ["with names of events", rewritten((text) => text.replaceAll("data: {", "event: message\ndata: {"))],
  ["with fields that nobody knows", rewritten((text) => text.replaceAll("data: {", "from: the future\ndata: {"))],
  ["with data over several lines", rewritten((text) => text.replaceAll("\"choices\":", "\ndata: \"choices\":"))],
  ["with a mark of its byte order", rewritten((text) => `\u{feff}${text}`)],
  ["without a blank line at its end", rewritten((text) => text.trimEnd())],
  ["with empty data", of(begun[0]!, "data:\n\n", ...begun.slice(1), done)],
  ["with an event without data", of(begun[0]!, "event: ping\n\n", ...begun.slice(1), done)],
  ["with very long lines", of(...chunks("x".repeat(300_000), "y".repeat(300_000)), done)],
  ["with events after its end", of(...begun, done, event(chunk({ content: "more" })))],
  [
    "with a chunk of usage that was not asked for",
    of(
      ...begun,
      event({ ...chunk({}), choices: [], usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 } }),
      done
    )
  ],
  [
    "with Azure's first chunk",
    of(event({ ...chunk({}), choices: [], prompt_filter_results: [{ prompt_index: 0 }] }), ...begun, done)
  ],
  [
    "with tool calls",
    of(
      event(
        chunk({
          role: "assistant",
          content: null,
          tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "add", arguments: "" } }]
        })
      ),
      event(chunk({ tool_calls: [{ index: 0, function: { arguments: "{\"a\":" } }] })),
      event(chunk({ tool_calls: [{ index: 0, function: { arguments: "1}" } }] })),
      event(chunk({}, "tool_calls")),
      done
    )
  ],
  [
    "with a refusal",
    of(
      event(chunk({ role: "assistant", refusal: "" })),
      event(chunk({ refusal: "No." })),
      event(chunk({}, "stop")),
      done
    )
  ],
  ["that is filtered", of(begun[0]!, begun[1]!, event(chunk({}, "content_filter")), done)],
  ["with a chunk that is a text", of(begun[0]!, begun[1]!, event("\"a text\""), begun[3]!, done)],
  ["with a chunk that is null", of(begun[0]!, begun[1]!, event("null"), begun[3]!, done)],
  ["without its [DONE]", of(...begun)],
  ["without a reason for its finish", of(...begun.slice(0, -1), done)],
  ["without either", of(...begun.slice(0, -1))],
  ["that ends in half an event", of(...begun, "data: {\"id\":")],
  ["without an event", of()],
  ["with only [DONE]", of(done)],
  ["that is broken at once", { headers, chunks: [], after: "cut" }],
  ["that is broken in its middle", { headers, chunks: begun.slice(0, 2), after: "cut" }],
  ["that is broken after its last chunk", { headers, chunks: begun, after: "cut" }],
  ["with an event that is no JSON at its start", of(event("{\"id\":"), ...begun, done)],
  ["with an event that is no JSON in its middle", of(begun[0]!, begun[1]!, event("{\"id\":"), begun[3]!, done)],
  ["with an error at its start", of(event({ error: overloaded }))],
  ["with an error that is the caller's at its start", of(event(refusal()))],
  ["with an error in its middle", of(begun[0]!, begun[1]!, event({ error: overloaded }))],
  ["with an error event in its middle", of(begun[0]!, begun[1]!, event({ error: overloaded }, "error"))],
  ["with a flat error event in its middle", of(begun[0]!, begun[1]!, event(overloaded, "error"))],
  ["with an error in words in its middle", of(begun[0]!, begun[1]!, event({ error: "overloaded" }))]
]

/** The same for the Responses API. */
const last = (type: string, more: object) => ({ type, response: response("Hello.", more) })
const failed = { status: "failed", error: { code: "server_error", message: "The server had an error." } }
const error = {
  type: "error",
  code: "server_error",
  message: "The server had an error.",
  param: null,
  sequence_number: 9
}

const responseStreams: ReadonlyArray<readonly [string, Answer]> = [
  ["as it should be", responseStreamed()],
  ["in pieces of 11 bytes", pieces(responseStreamed().chunks!.join(""), 11)],
  [
    "without names of events",
    of(...responseStreamed().chunks!.map((part) => String(part).replace(/^event: .*\n/, "")))
  ],
  ["with comments", of(": one\n\n", ...responseStreamed().chunks!.flatMap((part) => [part, ": keep-alive\n\n"]))],
  [
    "with keep-alive events",
    of(event({ type: "keepalive", sequence_number: 0 }, "keepalive"), ...responseStreamed().chunks!)
  ],
  [
    "with events that nobody knows",
    of(
      ...responseStart(5),
      event({ type: "response.of.the.future", sequence_number: 5 }, "response.of.the.future"),
      responseStreamed().chunks!.at(-1)!
    )
  ],
  [
    "that is incomplete",
    responseStreamed(
      last("response.incomplete", { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } })
    )
  ],
  ["that failed at its end", responseStreamed(last("response.failed", failed))],
  [
    "that failed at once",
    of(...responseStart(2), event({ ...last("response.failed", failed), sequence_number: 2 }, "response.failed"))
  ],
  ["with an error event at once", of(event(error, "error"))],
  ["with an error event in its middle", of(...responseStart(6), event(error, "error"))],
  [
    "with a nested error event in its middle",
    of(...responseStart(6), event({ type: "error", error: overloaded, sequence_number: 9 }, "error"))
  ],
  ["with [DONE] at its end", of(...responseStreamed().chunks!, done)],
  ["without a last event", of(...responseStart(8))],
  ["that is broken in its middle", { headers, chunks: responseStart(6), after: "cut" }],
  [
    "with an event that is no JSON in its middle",
    of(...responseStart(6), event("{\"type\":"), responseStreamed().chunks!.at(-1)!)
  ]
]

const others: ReadonlyArray<Case> = [
  {
    name: "stream: of old completions",
    script: [
      of(
        event({ id: "cmpl-1", choices: [{ text: "Hel", index: 0, finish_reason: null }] }),
        event({ id: "cmpl-1", choices: [{ text: "lo", index: 0, finish_reason: "stop" }] }),
        done
      )
    ],
    call: (client) => client.completions.create({ model: "gpt-4o", prompt: "Say hello.", stream: true })
  },
  {
    name: "stream: of pictures",
    script: [of(
      event(
        { type: "image_generation.partial_image", b64_json: "aGFsZg==", partial_image_index: 0 },
        "image_generation.partial_image"
      ),
      event({ type: "image_generation.completed", b64_json: "d2hvbGU=" }, "image_generation.completed")
    )],
    call: (client) => client.images.generate({ model: "gpt-image-1", prompt: "A cat.", stream: true })
  },
  {
    name: "stream: of speech",
    script: [of(event({ type: "speech.audio.delta", audio: "aGFsZg==" }), event({ type: "speech.audio.done" }))],
    call: (client) =>
      client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello.", stream_format: "sse" })
  },
  {
    name: "stream: of a stored response, from where it was left",
    script: [of(...responseStreamed().chunks!.slice(4))],
    call: (client) => client.responses.retrieve("resp_1234567", { stream: true, starting_after: 3 })
  },
  {
    name: "stream: of an assistant's run",
    script: [
      of(
        event({ id: "run_1", object: "thread.run", status: "queued" }, "thread.run.created"),
        event({ id: "run_1", object: "thread.run", status: "completed" }, "thread.run.completed"),
        event("[DONE]", "done")
      )
    ],
    call: (client) => client.beta.threads.runs.create("thread_1234567", { assistant_id: "asst_1234567", stream: true })
  },
  {
    name: "stream: of an assistant's run, by its helper",
    script: [of(
      event({ id: "run_1", object: "thread.run", status: "queued" }, "thread.run.created"),
      event({ id: "run_1", object: "thread.run", status: "completed" }, "thread.run.completed"),
      event("[DONE]", "done")
    )],
    call: async (client) => {
      const stream = client.beta.threads.runs.stream("thread_1234567", { assistant_id: "asst_1234567" })
      return { read: await items(stream), run: await stream.finalRun() }
    }
  },
  {
    name: "stream: of an agent's events",
    script: [
      of(event({ type: "of.the.agent", error: null }, "of.the.agent"), event({ error: { message: "No." } }, "error"))
    ],
    call: (client) => client.beta.agents.sessions.events.stream("session_1234567")
  },
  {
    name: "stream: usage that was asked for",
    script: [
      of(
        ...begun,
        event({ ...chunk({}), choices: [], usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 } }),
        done
      )
    ],
    call: (client) =>
      client.chat.completions.create({ ...hello, stream: true, stream_options: { include_usage: true } })
  },
  {
    name: "stream: usage that was refused",
    script: [streamed],
    call: (client) =>
      client.chat.completions.create({ ...hello, stream: true, stream_options: { include_usage: false } })
  },
  {
    name: "stream: other options of a stream",
    script: [streamed],
    call: (client) =>
      client.chat.completions.create({
        ...hello,
        stream: true,
        stream_options: { include_obfuscation: false } as never
      })
  },
  {
    name: "stream: asResponse",
    script: [streamed],
    call: (client) => chat(client).asResponse()
  },
  {
    name: "stream: withResponse",
    script: [streamed],
    call: async (client) => {
      const { data, request_id, response } = await chat(client).withResponse()
      return { data, request_id, status: response.status, type: response.headers.get("content-type") }
    }
  }
]

/** Streams that are answered, however odd they look: none of them fails a deployment. */
const isGood = (name: string): boolean =>
  !/empty data|that is a text|that is null|ithout (its|a reason|either|an event$|a last)|ends in half|only|broken|no JSON|error|failed/
    .test(name)

export const cases: ReadonlyArray<Case> = [
  ...chatStreams.map(([name, answer]): Case => ({
    name: `stream: ${name}`,
    isShared: isGood(name),
    script: [answer],
    call: chat
  })),
  ...responseStreams.map(([name, answer]): Case => ({
    name: `responses stream: ${name}`,
    isShared: isGood(name),
    script: [answer],
    call: respond
  })),
  ...shared(others)
]
