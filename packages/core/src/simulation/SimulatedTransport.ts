/**
 * Layer that plays simulated services in memory as the `Transport`, on the clock and the random source of Effect, so
 * that hours of traffic take seconds under `TestClock` and every run can be repeated.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { abortable } from "../transport/Abortable.ts"
import { Transport, TransportError, type TransportRequest, type TransportResponse } from "../transport/Transport.ts"
import type { HttpAnswer, SimulatedAnswer, SimulatedParts } from "./SimulatedAnswer.ts"
import type { SimulatedService } from "./SimulatedService.ts"

/**
 * Layer that answers with simulated services, each found by its origin.
 *
 * **Details**
 *
 * Services of one origin (projects of OpenAI) are told apart by their keys, as OpenAI does. An origin that no service has
 * fails like a name that does not resolve.
 */
export const layer = (services: Iterable<SimulatedService>): Layer.Layer<Transport> =>
  Layer.succeed(Transport, make(services))

/**
 * Creates the transport itself.
 */
export const make = (services: Iterable<SimulatedService>): Transport["Service"] => {
  const all = Array.from(services)
  const find = (request: TransportRequest): SimulatedService | undefined => {
    const found = all.filter((service) => service.origin === request.origin)
    return found.find((service) => service.accepts(request.headers)) ?? found[0]
  }
  return abortable({
    send: (request) => {
      const service = find(request)
      return service === undefined
        ? Effect.fail(new TransportError({ kind: "dns", code: "ENOTFOUND" }))
        : send(service, request)
    }
  })
}

const send = (
  service: SimulatedService,
  request: TransportRequest
): Effect.Effect<TransportResponse, TransportError> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const random = fiber.getRef(Random.Random)
    let answer: SimulatedAnswer | undefined
    const abort = () => answer?.abandoned(clock.currentTimeMillisUnsafe())
    request.onStart?.({ abort })
    const played = Effect.suspend((): Effect.Effect<TransportResponse, TransportError> => {
      const start = clock.currentTimeMillisUnsafe()
      const body = typeof request.body === "string" || request.body === undefined
        ? request.body ?? ""
        : new TextDecoder().decode(request.body)
      const { headers, method, path } = request
      answer = service.handle({ method, path, headers, body }, start, () => random.nextDoubleUnsafe())
      return play(answer, start, clock)
    })
    // taken in within what gives it up, so that no interruption comes between
    return Effect.onInterrupt(played, () => Effect.sync(abort))
  })

const play = (
  answer: SimulatedAnswer,
  start: number,
  clock: Clock.Clock
): Effect.Effect<TransportResponse, TransportError> => {
  /** Waits until `at` after the request. */
  const until = (at: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const wait = start + at - clock.currentTimeMillisUnsafe()
      return wait > 0 ? Effect.sleep(wait) : Effect.void
    })
  if (answer._tag === "Http") {
    return Effect.map(until(answer.headersAt), () => makeResponse(answer, start, until, clock))
  }
  return Effect.flatMap(answer.how === "hang" ? Effect.never : until(answer.at), () => {
    answer.finished(clock.currentTimeMillisUnsafe())
    return Effect.fail(
      new TransportError(
        answer.how === "refused"
          ? { kind: answer.because, code: codes[answer.because] }
          : { kind: "reset", code: "ECONNRESET" }
      )
    )
  })
}

/** What Node calls them. */
const codes = {
  "connect": "ECONNREFUSED",
  "connect-timeout": "UND_ERR_CONNECT_TIMEOUT",
  "dns": "ENOTFOUND",
  "tls": "ERR_TLS_CERT_ALTNAME_INVALID"
}

const makeResponse = (
  answer: HttpAnswer,
  start: number,
  until: (at: number) => Effect.Effect<void>,
  clock: Clock.Clock
): TransportResponse => {
  let next: ReturnType<SimulatedParts["next"]> | undefined
  let given = false
  const pull = Effect.suspend((): TransportResponse["pull"] => {
    if (given) return Cause.done()
    // Kept until it is delivered, so that a pull that was interrupted loses nothing.
    const part = next ??= answer.parts.next()
    if (part.done !== true) {
      const { at, data } = part.value
      const isDue = start + at <= clock.currentTimeMillisUnsafe()
      return Effect.map(isDue ? Effect.void : until(at), () => {
        next = undefined
        return typeof data === "string" ? encoder.encode(data) : data
      })
    }
    if (part.value === "hang") return Effect.never
    answer.finished(clock.currentTimeMillisUnsafe())
    return part.value === "end" ? Cause.done() : Effect.fail(new TransportError({ kind: "reset", code: "ECONNRESET" }))
  })
  const text = Effect.gen(function*() {
    const decoder = new TextDecoder()
    let read = ""
    for (;;) {
      const chunk = yield* Effect.catchTag(pull, "Done", () => Effect.succeed(undefined))
      if (chunk === undefined) return read + decoder.decode()
      read += decoder.decode(chunk, { stream: true })
    }
  })
  return {
    status: answer.status,
    headers: answer.headers,
    pull,
    text,
    abort: () => {
      if (given) return
      given = true
      answer.abandoned(clock.currentTimeMillisUnsafe())
    },
    discard: () => {
      if (given) return
      given = true
      const now = clock.currentTimeMillisUnsafe()
      const soon = endsBy(answer.parts, next, now - start + discardMs)
      if (soon) answer.finished(now)
      else answer.abandoned(now)
    }
  }
}

const encoder = new TextEncoder()

/** How long the rest of an answer may take before its connection is rather closed. */
const discardMs = 1_000

/** Whether a body ends properly by `at`. */
const endsBy = (
  parts: SimulatedParts,
  first: ReturnType<SimulatedParts["next"]> | undefined,
  at: number
): boolean => {
  for (let next = first ?? parts.next();; next = parts.next()) {
    if (next.done === true) return next.value === "end"
    if (next.value.at > at) return false
  }
}
