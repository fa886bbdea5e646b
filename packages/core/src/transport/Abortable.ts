/**
 * Makes each wait for a transport one that `abort` ends, for a transport that ends by interruption.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import {
  aborted,
  type Transport,
  type TransportError,
  type TransportRequest,
  type TransportResponse
} from "./Transport.ts"

/** The same transport, abortable: what waits, waits in a fiber of its own, and is interrupted. */
export const abortable = (transport: Transport["Service"]): Transport["Service"] => {
  if (transport.send.isAbortable === true) return transport
  const send = (request: TransportRequest) =>
    Effect.suspend(() => {
      let isAborted = false
      let waiting: Fiber.Fiber<unknown, unknown> | undefined
      let open: Pick<TransportResponse, "abort"> | undefined
      const exchange = {
        abort: () => {
          isAborted = true
          waiting?.interruptUnsafe()
          open?.abort()
        }
      }
      const untilAborted = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | TransportError> =>
        Effect.withFiber(({ context }) =>
          Effect.callback((resume) => {
            if (isAborted) return resume(Effect.fail(aborted))
            const wait = Effect.runForkWith(context)(effect)
            waiting = wait
            wait.addObserver((exit) => resume(isAborted ? Effect.fail(aborted) : exit))
            return Fiber.interrupt(wait)
          })
        )
      request.onStart?.(exchange)
      // what has begun can be given up, whatever is done with its answer before it comes here
      const onStart = (started: Pick<TransportResponse, "abort">) => {
        open = started
      }
      // noted within the wait: whoever is interrupted right after it can still give it up
      const sent = Effect.map(transport.send({ ...request, onStart }), (response) => open = response)
      const answered = Effect.onInterrupt(untilAborted(sent), () => Effect.sync(exchange.abort))
      return Effect.map(answered, (response): TransportResponse => ({
        status: response.status,
        headers: response.headers,
        pull: untilAborted(response.pull),
        text: untilAborted(response.text),
        abort: exchange.abort,
        discard: () => response.discard()
      }))
    })
  return { send: Object.assign(send, { isAbortable: true }) }
}
