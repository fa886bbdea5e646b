/**
 * Structured outputs, tools and webhooks: what the client makes of an answer.
 */
import { createHmac } from "node:crypto"
import { ResponsesToolRunner } from "openai/helpers/responses-tool-runner"
import { standardResponseFormat, standardResponsesFunction, standardTextFormat } from "openai/helpers/standard-schema"
import { type Case, shared } from "../Case.ts"
import {
  chunk,
  completion,
  done,
  event,
  headers,
  hello,
  messages,
  refusal,
  response,
  responseStreamed,
  streamed
} from "./Answers.ts"

// --- structured outputs -----------------------------------------------------------------------------------------------

/** A schema as a library of validation has it. */
const sum = {
  "~standard": {
    version: 1 as const,
    vendor: "conformance",
    validate: (value: unknown) => {
      const sum = (value as { readonly sum?: unknown }).sum
      return typeof sum === "number"
        ? { value: { sum, isParsed: true } }
        : { issues: [{ message: "sum is no number" }] }
    },
    jsonSchema: {
      input: () => ({
        type: "object",
        properties: { sum: { type: "number" } },
        required: ["sum"],
        additionalProperties: false
      })
    }
  }
}

const toolCall = (args: string) => ({
  tool_calls: [{ id: "call_1", type: "function", function: { name: "add", arguments: args } }]
})

/** A call of a tool as the Responses API has it. */
const adding = {
  type: "function_call",
  id: "fc_1",
  call_id: "call_1",
  name: "add",
  arguments: "{\"sum\":3}",
  status: "completed"
}

const addTool = {
  type: "function" as const,
  function: {
    name: "add",
    description: "Adds.",
    strict: true,
    parameters: {
      type: "object",
      properties: { a: { type: "number" }, b: { type: "number" } },
      additionalProperties: false,
      required: ["a", "b"]
    },
    parse: JSON.parse,
    function: ({ a, b }: { readonly a: number; readonly b: number }) => String(a + b)
  }
}

const parsing: ReadonlyArray<Case> = [
  ...([
    ["as it should be", completion("{\"sum\":3}")],
    ["that does not fit", completion("{\"sum\":\"three\"}")],
    ["that is no JSON", completion("three")],
    ["that was cut short", completion("{\"sum\":", {}, "length")],
    ["that was filtered", completion("{\"sum\":", {}, "content_filter")],
    ["that was refused", completion(null, { refusal: "No." })]
  ] as const).map(([name, json]): Case => ({
    name: `parse: a completion ${name}`,
    script: [{ headers, json }],
    call: (client) => client.chat.completions.parse({ ...hello, response_format: standardResponseFormat(sum, "sum") })
  })),
  {
    name: "parse: a stream",
    script: [{
      headers,
      chunks: [
        event(chunk({ role: "assistant", content: "{\"sum\"" })),
        event(chunk({ content: ":3}" })),
        event(chunk({}, "stop")),
        done
      ]
    }],
    call: (client) =>
      client.chat.completions.stream({ ...hello, response_format: standardResponseFormat(sum, "sum") }).finalMessage()
  },
  {
    name: "parse: a response",
    script: [{ headers, json: response("{\"sum\":3}") }],
    call: (client) =>
      client.responses.parse({ model: "gpt-4o", input: "1 + 2", text: { format: standardTextFormat(sum, "sum") } })
  },
  {
    name: "parse: a response, by a format that says how it is written",
    script: [{ headers, json: response("{\"sum\":3}") }],
    call: (client) => {
      const format = standardTextFormat(sum, "sum")
      const written = Object.defineProperty(format, "toJSON", { value: () => ({ ...format, name: "other" }) })
      return client.responses.parse({ model: "gpt-4o", input: "1 + 2", text: { format: written } })
    }
  },
  {
    name: "parse: a response, by a format behind a proxy",
    script: [{ headers, json: response("{\"sum\":3}") }],
    call: (client) => {
      const format = new Proxy(standardTextFormat(sum, "sum"), {})
      return client.responses.parse({ model: "gpt-4o", input: "1 + 2", text: { format } })
    }
  },
  {
    name: "parse: a response's tool, by a tool that says how it is written",
    script: [{
      headers,
      json: response("", {
        output: [{
          type: "function_call",
          id: "fc_1",
          call_id: "call_1",
          name: "add",
          arguments: "{\"sum\":3}",
          status: "completed"
        }]
      })
    }],
    call: (client) => {
      const tool = standardResponsesFunction({ name: "add", parameters: sum })
      const written = Object.defineProperty(tool, "toJSON", { value: () => ({ ...tool, strict: false }) })
      return client.responses.parse({ model: "gpt-4o", input: "1 + 2", tools: [written] })
    }
  },
  {
    name: "parse: arguments of a tool",
    script: [{ headers, json: completion(null, toolCall("{\"a\":1,\"b\":2}"), "tool_calls") }],
    call: (client) =>
      client.chat.completions.parse({
        ...hello,
        tools: [{ type: "function", function: { ...addTool.function, function: undefined, parse: undefined } as never }]
      })
  },
  {
    name: "parse: with the response",
    script: [{ headers, json: completion("{\"sum\":3}") }],
    call: async (client) => {
      const { data, request_id } = await client.chat.completions.parse({
        ...hello,
        response_format: standardResponseFormat(sum, "sum")
      }).withResponse()
      return { data, request_id }
    }
  },
  {
    name: "tools: are called until there is an answer",
    script: [
      { headers, json: completion(null, toolCall("{\"a\":1,\"b\":2}"), "tool_calls") },
      { headers, json: completion("3") }
    ],
    call: async (client) => {
      const runner = client.chat.completions.runTools({ ...hello, tools: [addTool as never] })
      const told: Array<unknown> = []
      runner.on("message", (message) => told.push(structuredClone(message)))
      return { content: await runner.finalContent(), told, all: runner.messages }
    }
  },
  {
    name: "tools: are called from a stream",
    script: [
      {
        headers,
        chunks: [
          event(
            chunk({
              role: "assistant",
              content: null,
              tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "add", arguments: "" } }]
            })
          ),
          event(chunk({ tool_calls: [{ index: 0, function: { arguments: "{\"a\":1,\"b\":2}" } }] })),
          event(chunk({}, "tool_calls")),
          done
        ]
      },
      streamed
    ],
    call: (client) =>
      client.chat.completions.runTools({ ...hello, stream: true, tools: [addTool as never] }).finalContent()
  },
  {
    name: "tools: a refusal in their middle",
    script: [
      { headers, json: completion(null, toolCall("{\"a\":1,\"b\":2}"), "tool_calls") },
      { status: 400, headers, json: refusal() }
    ],
    call: (client) => client.chat.completions.runTools({ ...hello, tools: [addTool as never] }).finalContent()
  },
  ...[false, true].map((stream): Case => ({
    name: `tools: the Responses runner, over ${stream ? "streams" : "whole answers"}`,
    script: stream
      ? [
        {
          headers,
          chunks: [
            { type: "response.created", response: response("", { status: "in_progress", output: [], usage: null }) },
            {
              type: "response.output_item.added",
              output_index: 0,
              item: { ...adding, arguments: "", status: "in_progress" }
            },
            {
              type: "response.function_call_arguments.delta",
              item_id: "fc_1",
              output_index: 0,
              delta: adding.arguments
            },
            {
              type: "response.function_call_arguments.done",
              item_id: "fc_1",
              output_index: 0,
              name: "add",
              arguments: adding.arguments
            },
            { type: "response.output_item.done", output_index: 0, item: adding },
            { type: "response.completed", response: response("", { output: [adding] }) }
          ].map((one, sequence_number) => event({ ...one, sequence_number }, one.type))
        },
        responseStreamed()
      ]
      : [{ headers, json: response("", { output: [adding] }) }, {
        headers,
        json: response("3", { id: "resp_7654321" })
      }],
    call: (client) => {
      const tool = standardResponsesFunction({ name: "add", parameters: sum })
      const runner = new ResponsesToolRunner({ functions: [{ tool: { ...tool }, execute: () => "3" }] })
      return runner.run(client, { model: "gpt-4o", input: [{ role: "user", content: "1 + 2" }] }, { stream })
    }
  })),
  {
    name: "tools: a custom one",
    script: [{
      headers,
      json: completion(null, {
        tool_calls: [{ id: "call_1", type: "custom", custom: { name: "sql", input: "select 1" } }]
      }, "tool_calls")
    }],
    call: (client) =>
      client.chat.completions.create({
        model: "gpt-4o",
        messages,
        tools: [{ type: "custom", custom: { name: "sql" } }]
      })
  }
]

// --- webhooks ---------------------------------------------------------------------------------------------------------

const payload = JSON.stringify({
  id: "evt_1",
  object: "event",
  type: "response.completed",
  data: { id: "resp_1234567" }
})

const signed = (body: string) => {
  const timestamp = String(Math.floor(Date.now() / 1000))
  const signature = createHmac("sha256", Buffer.from("secret of the webhook")).update(`evt_1.${timestamp}.${body}`)
    .digest("base64")
  return { "webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` }
}

const webhooks: ReadonlyArray<Case> = [
  {
    name: "webhooks.unwrap: a good one",
    script: [],
    call: (client) => client.webhooks.unwrap(payload, signed(payload))
  },
  {
    name: "webhooks.unwrap: a forged one",
    script: [],
    call: (client) => client.webhooks.unwrap(payload, signed("{}"))
  },
  {
    name: "webhooks.verifySignature: a good one",
    script: [],
    call: (client) => client.webhooks.verifySignature(payload, signed(payload))
  }
]

// a refusal harms no other case
export const cases: ReadonlyArray<Case> = shared([...parsing, ...webhooks])
