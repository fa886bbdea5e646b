/**
 * Forms and files, and answers that are bytes.
 */
import { createReadStream } from "node:fs"
import { fileURLToPath } from "node:url"
import { toFile } from "openai"
import { type Case, shared } from "../Case.ts"
import type { Answer } from "../Server.ts"
import { event, headers, refusal } from "./Answers.ts"

/** A file that is there: this one. */
const here = fileURLToPath(import.meta.url)

const lines = "one\ntwo\n"
const file: Answer = { headers, json: { id: "file-1234567", object: "file", bytes: 8 } }

/** What a program may give as a file. */
const files: ReadonlyArray<readonly [string, () => unknown]> = [
  ["a Buffer", () => toFile(Buffer.from(lines), "lines.txt")],
  [
    "bytes with a type",
    () => toFile(new Uint8Array([0, 255, 13, 10]), "bytes.bin", { type: "application/octet-stream" })
  ],
  ["a File", () => new File([lines], "lines.jsonl", { type: "application/jsonl" })],
  ["a Blob", () => toFile(new Blob([lines]), "lines.txt")],
  ["a stream of the file system", () => createReadStream(here)],
  ["a stream of the file system by another name", () => toFile(createReadStream(here), "other.ts")],
  ["a Response", () => new Response(lines, { headers: { "content-type": "text/plain" } })],
  ["an iterable", () =>
    toFile(
      (async function*() {
        yield Buffer.from("one\n")
        yield Buffer.from("two\n")
      })(),
      "lines.txt"
    )],
  ["an empty file", () => toFile(Buffer.from(""), "empty.txt")],
  ["a name of every script", () => toFile(Buffer.from(lines), "Grüße \u6771\u4eac \"1\".txt")],
  ["half a megabyte", () => toFile(Buffer.alloc(500_000, "0123456789\r\n--"), "large.bin")]
]

const audio = () => toFile(Buffer.from("RIFF of bytes"), "speech.wav")
const picture = (name: string) => toFile(Buffer.from("PNG of bytes"), name, { type: "image/png" })

/** Every byte there is, twice. */
const bytes = Uint8Array.from({ length: 512 }, (_, i) => i)
const mp3: Answer = { headers: { ...headers, "content-type": "audio/mpeg" }, bytes }

const whole: ReadonlyArray<Case> = [
  ...files.map(([name, make]): Case => ({
    name: `upload: ${name}`,
    script: [file],
    call: async (client) => client.files.create({ file: await make() as never, purpose: "batch" })
  })),
  {
    name: "upload: with fields of every kind",
    script: [file],
    call: async (client) =>
      client.files.create({
        file: await toFile(Buffer.from(lines), "lines.txt"),
        purpose: "user_data",
        expires_after: { anchor: "created_at", seconds: 3_600 }
      })
  },
  {
    name: "upload: that is refused",
    script: [{ status: 400, headers, json: refusal("Invalid file.", { param: "file" }) }],
    call: async (client) => client.files.create({ file: await audio(), purpose: "batch" })
  },
  {
    name: "upload: in parts",
    script: ({ path }) => ({
      headers,
      json: { id: path.endsWith("/parts") ? "part_1234567" : "upload_1234567", status: "pending" }
    }),
    call: async (client) => {
      const { id } = await client.uploads.create({
        bytes: 8,
        filename: "lines.txt",
        mime_type: "text/plain",
        purpose: "batch"
      })
      const part = await client.uploads.parts.create(id, { data: await toFile(Buffer.from(lines), "part") })
      return [part, await client.uploads.complete(id, { part_ids: [part.id] })]
    }
  },
  {
    name: "upload: several to a vector store",
    script: ({ path }) => ({
      headers,
      json: path === "/files"
        ? { id: "file-1234567", status: "processed" }
        : { id: "vsfb_1234567", status: "completed", file_counts: { in_progress: 0, completed: 2, total: 2 } }
    }),
    call: async (client) =>
      client.vectorStores.fileBatches.uploadAndPoll("vs_1234567", {
        files: [await toFile(Buffer.from("one"), "one.txt"), await toFile(Buffer.from("one"), "one.txt")]
      }, { pollIntervalMs: 1, maxConcurrency: 1 } as never)
  },
  ...(["json", "text", "srt", "verbose_json"] as const).map((response_format): Case => ({
    name: `audio: transcribed as ${response_format}`,
    script: [
      response_format.endsWith("json")
        ? { headers, json: { text: "Hello.", usage: { type: "tokens", total_tokens: 3 } } }
        : { headers: { ...headers, "content-type": "text/plain; charset=utf-8" }, text: "Hello.\n" }
    ],
    call: async (client) =>
      client.audio.transcriptions.create({
        file: await audio(),
        model: "whisper-1",
        response_format,
        temperature: 0.5,
        timestamp_granularities: ["word", "segment"]
      })
  })),
  {
    name: "audio: transcribed as a stream",
    script: [{
      headers,
      chunks: [
        event({ type: "transcript.text.delta", delta: "Hel" }),
        event({ type: "transcript.text.done", text: "Hello." })
      ]
    }],
    call: async (client) =>
      client.audio.transcriptions.create({ file: await audio(), model: "whisper-1", stream: true })
  },
  {
    name: "audio: translated",
    script: [{ headers, json: { text: "Hello." } }],
    call: async (client) => client.audio.translations.create({ file: await audio(), model: "whisper-1" })
  },
  {
    name: "audio: a form without a model",
    script: [{ status: 400, headers, json: refusal("you must provide a model parameter") }],
    call: async (client) => client.audio.transcriptions.create({ file: await audio() } as never)
  },
  {
    name: "picture: several are edited",
    script: [{ headers, json: { created: 1, data: [{ b64_json: "d2hvbGU=" }] } }],
    call: async (client) =>
      client.images.edit({
        model: "gpt-image-1",
        image: [await picture("one.png"), await picture("two.png")],
        mask: await picture("mask.png"),
        prompt: "A cat.",
        n: 2
      })
  },
  {
    name: "picture: a variation",
    script: [{ headers, json: { created: 1, data: [{ url: "https://pictures.example/1" }] } }],
    call: async (client) => client.images.createVariation({ image: await picture("one.png"), model: "gpt-image-1" })
  },
  ...["arrayBuffer", "bytes", "blob", "text"].map((how): Case => ({
    name: `bytes: speech as ${how}`,
    script: [mp3],
    call: async (client) => {
      const response = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })
      return {
        type: response.headers.get("content-type"),
        read: await (response[how as never] as () => Promise<unknown>).call(response)
      }
    }
  })),
  {
    name: "bytes: speech as a stream",
    script: [{
      headers: { ...headers, "content-type": "audio/mpeg" },
      chunks: [bytes.subarray(0, 100), bytes.subarray(100)]
    }],
    call: async (client) => {
      const response = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })
      const parts: Array<Uint8Array> = []
      for await (const part of response.body!) parts.push(part)
      return Buffer.concat(parts)
    }
  },
  {
    name: "bytes: of a file",
    script: [{
      headers: {
        ...headers,
        "content-type": "application/octet-stream",
        "content-disposition": "attachment; filename=\"lines.jsonl\""
      },
      bytes
    }],
    call: async (client) => {
      const response = await client.files.content("file-1234567")
      return { said: response.headers.get("content-disposition"), read: await response.arrayBuffer() }
    }
  },
  {
    name: "bytes: of a file of JSON lines",
    script: [{ headers: { ...headers, "content-type": "application/jsonl" }, text: "{\"a\":1}\n{\"a\":2}\n" }],
    call: async (client) => (await client.files.content("file-1234567")).text()
  }
]

const broken: ReadonlyArray<Case> = [
  {
    name: "bytes: that break off",
    script: [{ headers: { ...headers, "content-type": "audio/mpeg" }, chunks: [bytes], after: "cut" }],
    call: async (client) => {
      const response = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })
      return response.arrayBuffer()
    }
  },
  {
    name: "bytes: that are left",
    script: [{ headers: { ...headers, "content-type": "audio/mpeg" }, chunks: [bytes], after: "hang" }],
    call: async (client, play) => {
      const response = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })
      const reader = response.body!.getReader()
      const { value } = await reader.read()
      await reader.cancel()
      await play.abandoned()
      return value
    }
  }
]

export const cases: ReadonlyArray<Case> = [...shared(whole), ...broken]
