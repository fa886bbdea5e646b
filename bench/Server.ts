/**
 * The service of the bench: a plain HTTP server with canned answers, in a process of its own, so that what it costs is
 * nobody's. It is started with an IPC channel, says its port, and ends when its parent does.
 */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { answerHeaders, answerText, deploymentNames, STEADY_CHUNKS, streamEvents } from "./Canned.ts"

/** Milliseconds between two chunks of a paced stream, and how many times as many of a steady one. */
const PACE = 5
const STEADY = 4

const answer = Buffer.from(answerText)
const wholeHeaders = { ...answerHeaders, "content-length": String(answer.length) }
const streamHeaders = { ...answerHeaders, "content-type": "text/event-stream" }
const events = {
  plain: streamEvents(false).map((event) => Buffer.from(event)),
  withUsage: streamEvents(true).map((event) => Buffer.from(event))
}
const steady = {
  plain: streamEvents(false, STEADY_CHUNKS).map((event) => Buffer.from(event)),
  withUsage: streamEvents(true, STEADY_CHUNKS).map((event) => Buffer.from(event))
}

interface Paced {
  readonly response: ServerResponse
  readonly events: ReadonlyArray<Buffer>
  next: number
  /** In which tick of how many the next one is written, so that streams that began apart stay apart. */
  readonly phase: number
  readonly every: number
}

const paced = new Set<Paced>()
let tick = 0
setInterval(() => {
  tick++
  for (const stream of paced) {
    if (tick % stream.every !== stream.phase) continue
    stream.response.write(stream.events[stream.next++])
    if (stream.next < stream.events.length) continue
    stream.response.end()
    paced.delete(stream)
  }
}, PACE)

const server = createServer((request, response) => {
  let head = ""
  let tail = ""
  request.on("data", (chunk: Buffer) => {
    // whether usage was asked for stands at the end of a body, or at its beginning
    if (head === "") head = chunk.toString("latin1", 0, 200)
    tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - 200))).slice(-200)
  })
  request.on("end", () => {
    const url = request.url!
    if (url.includes(`/${deploymentNames.whole}/`)) {
      response.writeHead(200, wholeHeaders)
      response.end(answer)
      return
    }
    if (!url.includes("/chat/completions")) {
      response.writeHead(200, { "content-type": "application/json" })
      response.end("{\"data\":[]}")
      return
    }
    const isSteady = url.includes(`/${deploymentNames.steady}/`)
    const kind = `${head} ${tail}`.includes("\"include_usage\":true") ? "withUsage" : "plain"
    const sent = (isSteady ? steady : events)[kind]
    response.writeHead(200, streamHeaders)
    if (url.includes(`/${deploymentNames.paced}/`)) {
      response.write(sent[0])
      paced.add({ response, events: sent, next: 1, phase: 0, every: 1 })
      return
    }
    if (isSteady) {
      response.write(sent[0])
      paced.add({ response, events: sent, next: 1, phase: tick % STEADY, every: STEADY })
      return
    }
    response.write(Buffer.concat(sent.slice(0, 2)))
    setImmediate(() => response.end(Buffer.concat(sent.slice(2))))
  })
})

// longer than any pause between two rounds of one door
server.keepAliveTimeout = 120_000
server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
