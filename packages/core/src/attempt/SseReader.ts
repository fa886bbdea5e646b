/**
 * A streamed answer as server-sent events: where its content begins, how it ended, and what it billed.
 *
 * Bytes are parsed once. Before the commit point each event is read, to tell a preamble from content from an error
 * inside a 200; after it, only those that can end the stream, bill it or break it. A batch keeps the bytes that its events
 * came in, so that a door that wants bytes gives out what the service sent.
 */
import * as Sse from "effect/encoding/Sse"
import { concat } from "../Bytes.ts"
import type { Usage } from "../Errors.ts"
import { isRecord } from "../request/LlmRequest.ts"
import { idsOfAnswer } from "../request/StoredIds.ts"
import { AnswerReader, readUsage } from "./AnswerFacts.ts"
import { broken, type Unanswered } from "./Outcome.ts"
import { fromErrorEvent } from "./ServiceError.ts"

/** One event, parsed where someone had to look into it. */
export interface StreamEvent {
  readonly name: string
  readonly data: string
  /** The parsed `data`; `undefined` when it has not been parsed. */
  readonly json: unknown
}

/** Events that arrived together. */
export interface Batch {
  readonly events: ReadonlyArray<StreamEvent>
  /** The bytes of exactly these events, and of comments between them, where they are known. */
  readonly bytes: Uint8Array | undefined
}

/** Batches as one. */
export const merge = (batches: ReadonlyArray<Batch>): Batch => {
  if (batches.length === 1) return batches[0]!
  const isKnown = batches.every(({ bytes, events }) => bytes !== undefined || events.length === 0)
  const pieces = batches.flatMap(({ bytes }) => bytes ?? [])
  return {
    events: batches.flatMap(({ events }) => events),
    bytes: isKnown && pieces.length > 0 ? concat(pieces) : undefined
  }
}

/** Most of a preamble that is held back, in characters. */
const MAX_HELD = 64 * 1024

/**
 * Longest event that is read, in characters. One with a picture has tens of millions; what is longer is no event, and
 * must not fill the memory.
 */
export const MAX_EVENT = 128 * 1024 * 1024

const LF = 10
const CR = 13

/** What an event means for the stream it is in. */
type Meaning = "preamble" | "content" | "hidden" | "error"

/**
 * Reader of one streamed answer. `feed` and `end` never throw: what is wrong is in `failure`.
 */
export class SseReader {
  /** Content, or a valid end, was seen: what is held may be given out. */
  isCommitted = false
  /** Where among the events that arrived with it the first content is. */
  firstContent = 0
  /** Events that were seen. */
  events = 0
  /** The end was seen, as the protocol has it. */
  isComplete = false
  usage: Usage | undefined
  readonly facts = new AnswerReader()
  /** Ids that only this answer's resource will know: of the response, and of its items. */
  readonly ids: Array<string> = []
  /** Reasoning and tool items that are open: the service may be silent while it works on them. */
  openItems = 0
  failure: Unanswered | undefined
  /** Whether the failure's own event was given out, as the service's last word. */
  isFailureDelivered = false
  private readonly protocol: "chat" | "responses"
  /** Data of the last event that was given out. */
  private last: string | undefined
  private held = 0
  private finished = false
  private bareFailure: unknown
  /** The parse of the event in hand, kept with it so that a door that wants objects need not parse again. */
  private json: unknown
  private isAligned = true
  /** Bytes of an event that has begun; `undefined` where it is not known where it began. */
  private begun: Array<Uint8Array> | undefined = []
  private pending: Array<StreamEvent> = []
  private removed = 0
  private readonly decoder = new TextDecoder()
  private readonly parser: Sse.Parser
  private readonly read: (event: Sse.Event) => Meaning
  private readonly hidesUsage: boolean
  private parsesAll: boolean
  private readonly headers: Readonly<Record<string, string>>
  private readonly wallNow: () => number

  /**
   * @param protocol whose events these are
   * @param hidesUsage whether the usage chunk of a chat stream is taken out
   * @param parsesAll whether every event is parsed, rather than only those that matter here
   * @param headers of the answer, where an error inside it may find its wait
   */
  constructor(
    protocol: "chat" | "responses",
    hidesUsage: boolean,
    parsesAll: boolean,
    headers: Readonly<Record<string, string>>,
    wallNow: () => number
  ) {
    this.protocol = protocol
    this.hidesUsage = hidesUsage
    this.parsesAll = parsesAll
    this.headers = headers
    this.wallNow = wallNow
    this.read = protocol === "chat" ? this.readChat : this.readResponses
    this.parser = Sse.makeParser((event) => {
      if (event._tag === "Event") this.take(event)
    }, { maxEventSize: MAX_EVENT })
  }

  /** Takes in bytes as they came. After the end nothing more is read. */
  feed(bytes: Uint8Array): Batch {
    const wasAligned = this.isAligned
    this.removed = 0
    const text = this.decoder.decode(bytes, { stream: true })
    // where the parser holds nothing back, plain events need none
    const rest = wasAligned ? this.takePlain(text) : text
    const tooLarge = rest === "" ? undefined : this.parser.feed(rest)
    if (tooLarge !== undefined) this.failure ??= broken("an event that is too large", 200)
    // a byte that the decoder holds back belongs to the next event
    const last = bytes[bytes.length - 1]
    this.isAligned = (last === LF || last === CR) && endsEvent(text)
    const whole = this.wholeBytes(bytes, text)
    return this.batch(this.removed === 0 ? whole : undefined)
  }

  /** Bytes up to the end of the last event that has ended, from the end of those before; `undefined` where there are none. */
  private wholeBytes(bytes: Uint8Array, text: string): Uint8Array | undefined {
    // as nearly all come
    if (this.isAligned && this.begun?.length === 0) return bytes
    // of lines that may end in three ways only the ends of whole events are looked for
    const end = this.isAligned ? bytes.length : text.includes("\r") ? undefined : endOfEvents(bytes, this.begun?.at(-1))
    const { begun } = this
    if (end === 0) {
      if (bytes.length > 0) begun?.push(bytes)
      return undefined
    }
    this.begun = end === undefined ? undefined : end === bytes.length ? [] : [bytes.subarray(end)]
    return begun === undefined || end === undefined
      ? undefined
      : begun.length === 0
      ? bytes.subarray(0, end)
      : concat([...begun, bytes.subarray(0, end)])
  }

  /** The bytes ended: an end without the protocol's own end is a failure. */
  end(): Batch {
    this.removed = 0
    this.begun = undefined
    // what is left may be half an event, which nobody may be given
    this.parsesAll = true
    // a last event may lack its blank line
    const tooLarge = this.parser.feed(`${this.decoder.decode()}\n\n`)
    if (tooLarge !== undefined) this.failure ??= broken("an event that is too large", 200)
    if (this.failure === undefined && !this.isComplete) {
      if (this.bareFailure === undefined) {
        this.failure = broken(this.events === 0 ? "empty stream" : "stream cut short", 200)
      } else {
        this.failure = fromErrorEvent(this.headers, this.bareFailure, this.wallNow())
        this.isFailureDelivered = this.isCommitted
      }
    }
    return this.batch(undefined)
  }

  /** The `sequence_number` of what would come next in a stream of responses; `undefined` in a chat, which has none. */
  get nextSequence(): number | undefined {
    if (this.protocol === "chat") return undefined
    try {
      const number: unknown = JSON.parse(this.last ?? "").sequence_number
      return typeof number === "number" ? number + 1 : this.events
    } catch {
      return this.events
    }
  }

  /**
   * Takes events that are one `data` line each, with at most an `event` line before it, as nearly all are: ten times as
   * fast as looking at every character. Returns what it leaves to the parser.
   */
  private takePlain(text: string): string {
    if (text.includes("\r")) return text
    let start = 0
    while (start < text.length) {
      let at = start
      let event = "message"
      if (text.startsWith("event: ", at)) {
        const end = text.indexOf("\n", at)
        event = text.slice(at + 7, end)
        if (end === -1 || event === "") break
        at = end + 1
      }
      const end = text.startsWith("data: ", at) ? text.indexOf("\n", at) : -1
      // several lines, or not whole yet
      if (end === -1 || text.charCodeAt(end + 1) !== LF) break
      this.take({ _tag: "Event", id: undefined, event, data: text.slice(at + 6, end) })
      start = end + 2
    }
    return start === 0 ? text : text.slice(start)
  }

  private batch(bytes: Uint8Array | undefined): Batch {
    const events = this.pending
    this.pending = []
    return { events, bytes }
  }

  private take(event: Sse.Event): void {
    if (this.isComplete || this.failure !== undefined) {
      this.removed++
      return
    }
    this.events++
    this.json = undefined
    const meaning = this.read(event)
    if (meaning === "hidden" || meaning === "error") {
      this.removed++
      return
    }
    if (!this.isCommitted) {
      this.held += event.data.length
      if (meaning === "content" || this.held > MAX_HELD) {
        this.isCommitted = true
        this.firstContent = this.pending.length
      }
    }
    this.last = event.data
    this.pending.push({ name: event.event, data: event.data, json: this.json })
  }

  /** Parses an event's data; one that is no JSON breaks the stream. */
  private parse(event: Sse.Event): Record<string, unknown> | undefined {
    try {
      this.json = JSON.parse(event.data)
    } catch {
      this.failure = broken("an event that is no JSON", 200)
      return undefined
    }
    if (isRecord(this.json)) return this.json
    this.failure = broken("an event that is no object", 200)
    return undefined
  }

  private fail(event: unknown): Meaning {
    this.failure = fromErrorEvent(this.headers, event, this.wallNow())
    return "error"
  }

  private readonly readChat = (event: Sse.Event): Meaning => {
    const { data } = event
    if (data.startsWith("[DONE]")) {
      if (!this.finished) {
        this.failure = broken(this.isCommitted ? "stream cut short" : "empty stream", 200)
        return "error"
      }
      this.isComplete = true
      this.isCommitted = true
      return "content"
    }
    const mayMatter = this.parsesAll || !this.isCommitted || event.event === "error" || data.includes("usage\":{")
      || data.includes("usage\": {") || data.includes("error\":") || mayFinish(data)
    if (!mayMatter) return "content"
    const chunk = this.parse(event)
    if (chunk === undefined) return "error"
    if (isRecord(chunk["error"]) || event.event === "error") return this.fail(chunk)
    this.facts.read(chunk)
    if (this.ids.length === 0 && typeof chunk["id"] === "string") this.ids.push(chunk["id"])
    const usage = readUsage(chunk["usage"])
    if (usage !== undefined) this.usage = usage
    const choices = chunk["choices"]
    if (!Array.isArray(choices) || choices.length === 0) {
      return usage !== undefined && this.hidesUsage ? "hidden" : "preamble"
    }
    let meaning: Meaning = "preamble"
    for (const choice of choices) {
      if (!isRecord(choice)) continue
      if (typeof choice["finish_reason"] === "string") {
        this.finished = true
        meaning = "content"
      } else if (hasContent(choice["delta"])) {
        meaning = "content"
      }
    }
    return meaning
  }

  private readonly readResponses = (event: Sse.Event): Meaning => {
    const name = event.event
    if (this.bareFailure !== undefined && name !== "error" && !event.data.includes("\"type\":\"error\"")) {
      // one more event was waited for, and it says nothing of why
      this.isFailureDelivered = this.isCommitted
      return this.fail(this.bareFailure)
    }
    if (event.data.startsWith("[DONE]")) return "preamble"
    if (!this.parsesAll && this.isCommitted && name.startsWith("response.") && !decisive.has(name)) return "content"
    const value = this.parse(event)
    if (value === undefined) return "error"
    switch (typeof value["type"] === "string" ? value["type"] : name) {
      case "response.created":
      case "response.queued":
      case "response.in_progress":
        this.learnIds(value["response"])
        return "preamble"
      case "response.output_item.added":
        if (isSilentItem(value["item"])) this.openItems++
        return "content"
      case "response.output_item.done":
        if (isSilentItem(value["item"])) this.openItems = Math.max(0, this.openItems - 1)
        return "content"
      case "response.completed":
      case "response.incomplete":
        this.learnIds(value["response"])
        if (isRecord(value["response"])) this.usage = readUsage(value["response"]["usage"])
        this.isComplete = true
        return "content"
      case "response.failed": {
        const response = value["response"]
        if (isRecord(response)) this.usage = readUsage(response["usage"]) ?? this.usage
        const hasError = isRecord(response) && isRecord(response["error"])
        if (hasError) {
          this.fail(value)
          // given out, as the service's last word, where the caller has the rest already
          this.isFailureDelivered = this.isCommitted
          return this.isCommitted ? "content" : "error"
        }
        // a bare failure: the next event, or the end, says why
        this.bareFailure = value
        return "preamble"
      }
      case "error":
        return this.fail(value)
    }
    return "content"
  }

  private learnIds(response: unknown): void {
    if (!isRecord(response)) return
    this.facts.read(response)
    this.ids.length = 0
    this.ids.push(...idsOfAnswer(response))
  }
}

/** Events of the responses API that are read even after the commit point. */
const decisive = new Set([
  "response.completed",
  "response.incomplete",
  "response.failed",
  "response.output_item.added",
  "response.output_item.done"
])

/**
 * Whether a chunk is an ordinary delta, told by its text alone; anything unusual is parsed. What is searched for does not
 * begin with a quote, the commonest byte of JSON, which would make each search five times as long.
 */
const mayFinish = (data: string): boolean =>
  (!data.includes("finish_reason\":null") && !data.includes("finish_reason\": null"))
  || data.includes("finish_reason\":\"") || data.includes("finish_reason\": \"")

const endsEvent = (text: string): boolean => text.endsWith("\n\n") || text.endsWith("\r\n\r\n") || text.endsWith("\r\r")

/** Where the last blank line ends, of lines that end with LF; 0 where there is none. */
const endOfEvents = (bytes: Uint8Array, before: Uint8Array | undefined): number => {
  for (let at = bytes.lastIndexOf(LF); at > 0; at = bytes.lastIndexOf(LF, at - 1)) {
    if (bytes[at - 1] === LF) return at + 1
  }
  return bytes[0] === LF && before?.at(-1) === LF ? 1 : 0
}

/** Whether a delta carries anything but a role. */
const hasContent = (delta: unknown): boolean => {
  if (!isRecord(delta)) return false
  for (const key in delta) {
    if (key === "role") continue
    const value = delta[key]
    if (value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)) {
      return true
    }
  }
  return false
}

const isSilentItem = (item: unknown): boolean =>
  isRecord(item) && typeof item["type"] === "string" && (item["type"] === "reasoning" || item["type"].endsWith("_call"))
