/**
 * The same of Azure OpenAI: its classic API, through `AzureOpenAI`, and its v1 API.
 */
import type { OpenAI } from "openai"
import { toFile } from "openai"
import type { Api, Case } from "../Case.ts"
import type { Script } from "../Server.ts"
import {
  chunk,
  chunks,
  completion,
  done,
  event,
  headers,
  hello,
  refusal,
  response,
  responseStreamed
} from "./Answers.ts"

const azure = {
  "apim-request-id": "apim-1",
  "x-ms-region": "East US",
  "x-request-id": "req-1",
  "x-ratelimit-remaining-tokens": "99"
}
const filtered = { hate: { filtered: false, severity: "safe" } }

const calls: ReadonlyArray<readonly [string, Script, (client: OpenAI) => unknown]> = [
  ["a completion", [{
    headers: azure,
    json: { ...completion(), prompt_filter_results: [{ prompt_index: 0, content_filter_results: filtered }] }
  }], (client) => client.chat.completions.create(hello)],
  ["a stream", [{
    headers: azure,
    chunks: [
      event({
        ...chunk({}),
        id: "",
        model: "",
        choices: [],
        prompt_filter_results: [{ prompt_index: 0, content_filter_results: filtered }]
      }),
      ...chunks("Hel", "lo"),
      done
    ]
  }], (client) => client.chat.completions.create({ ...hello, stream: true })],
  [
    "the stream's helper",
    [{ headers: azure, chunks: [...chunks("Hel", "lo"), done] }],
    (client) => client.chat.completions.stream(hello).finalMessage()
  ],
  [
    "an embedding",
    [{ headers: azure, json: { object: "list", data: [{ embedding: "AACAPwAAAEA=", index: 0 }] } }],
    (client) => client.embeddings.create({ model: "text-embedding-3-small", input: "Hello." })
  ],
  [
    "a response",
    [{ headers: azure, json: response() }],
    (client) => client.responses.create({ model: "gpt-4o", input: "Hello." })
  ],
  [
    "a stream of a response",
    [responseStreamed()],
    (client) => client.responses.create({ model: "gpt-4o", input: "Hello.", stream: true })
  ],
  ["a stored response", [{ headers: azure, json: response() }], (client) => client.responses.retrieve("resp_1234567")],
  [
    "a transcription",
    [{ headers: azure, json: { text: "Hello." } }],
    async (client) =>
      client.audio.transcriptions.create({ file: await toFile(Buffer.from("RIFF"), "a.wav"), model: "whisper-1" })
  ],
  [
    "a picture",
    [{ headers: azure, json: { created: 1, data: [] } }],
    (client) => client.images.generate({ model: "gpt-image-1", prompt: "A cat." })
  ],
  [
    "speech",
    [{ headers: { ...azure, "content-type": "audio/mpeg" }, bytes: new Uint8Array([0, 255]) }],
    async (client) =>
      (await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })).arrayBuffer()
  ],
  [
    "a list of files",
    [{ headers: azure, json: { data: [{ id: "file-1234567" }], has_more: false } }],
    (client) => client.files.list()
  ],
  [
    "an upload",
    [{ headers: azure, json: { id: "file-1234567" } }],
    async (client) => client.files.create({ file: await toFile(Buffer.from("{}"), "a.jsonl"), purpose: "batch" })
  ],
  ["a filtered prompt", [{
    status: 400,
    headers: azure,
    json: refusal("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", {
      type: null,
      param: "prompt",
      code: "content_filter",
      status: 400,
      innererror: {
        code: "ResponsibleAIPolicyViolation",
        content_filter_result: { hate: { filtered: true, severity: "high" } }
      }
    })
  }], (client) => client.chat.completions.create(hello)],
  ["a refusal", [{
    status: 400,
    headers: azure,
    json: { error: { code: "BadRequest", message: "Unknown parameter." } }
  }], (client) => client.chat.completions.create(hello)],
  [
    "a missing thing",
    [{ status: 404, headers, json: { error: { code: "404", message: "Resource not found" } } }],
    (client) => client.files.retrieve("file-1234567")
  ]
]

export const cases: ReadonlyArray<Case> = (["azure-classic", "azure-v1"] as ReadonlyArray<Api>).flatMap((api) =>
  calls.map(([name, script, call]): Case => ({ name: `${api}: ${name}`, api, script, call }))
)
