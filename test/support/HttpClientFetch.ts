/**
 * A `fetch` over an Effect `HttpClient`, so that a client that wants a fetch can be tested through that door.
 */
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpMethod } from "effect/http/HttpMethod"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"

/** A fetch that sends by the runtime's client. It rejects for the caller's abort, as every fetch does. */
export const fetchOf = (runtime: ManagedRuntime.ManagedRuntime<HttpClient.HttpClient, unknown>): typeof fetch =>
async (
  input,
  init = {}
) => {
  const signal = init.signal ?? undefined
  signal?.throwIfAborted()
  const exit = await runtime.runPromiseExit(
    HttpClient.execute(await requestOf(String(input), init)),
    signal === undefined ? {} : { signal }
  )
  signal?.throwIfAborted()
  if (exit._tag === "Failure") throw new TypeError("fetch failed", { cause: exit.cause })
  const { headers, status, stream } = exit.value
  const hasBody = init.method?.toUpperCase() !== "HEAD" && status !== 204 && status !== 205
  // a body that breaks fails as the client does
  const body = hasBody ? Stream.toReadableStream(stream, { strategy: { highWaterMark: 0 } }) : null
  return new Response(body === null ? null : withSignal(body, signal), { status, headers: { ...headers } })
}

const requestOf = async (url: string, init: RequestInit): Promise<HttpClientRequest.HttpClientRequest> => {
  const method = (init.method ?? "GET").toUpperCase() as HttpMethod
  const headers = Object.fromEntries(new Headers(init.headers))
  const request = HttpClientRequest.make(method)(url, { headers })
  const { body } = init
  if (body === undefined || body === null) return request
  if (body instanceof FormData) return HttpClientRequest.bodyFormData(request, body)
  const carrier = new Response(body)
  const type = headers["content-type"] ?? carrier.headers.get("content-type") ?? "application/octet-stream"
  return HttpClientRequest.bodyUint8Array(request, new Uint8Array(await carrier.arrayBuffer()), type)
}

/** A body whose reads end with the caller's abort, as every fetch's do. */
const withSignal = (
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined
): ReadableStream<Uint8Array> => {
  const reader = body.getReader()
  return new ReadableStream({
    start: (controller) => {
      signal?.addEventListener("abort", () => {
        controller.error(signal.reason)
        reader.cancel(signal.reason).catch(() => {})
      }, { once: true })
    },
    pull: async (controller) => {
      const { done, value } = await reader.read()
      if (signal?.aborted === true) return
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason)
  }, { highWaterMark: 0 })
}
