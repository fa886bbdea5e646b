/**
 * Where a caller of a balanced client sees something else than one of the bare client, and why. `docs/conformance.md`
 * shows this list, and the suite fails where it is not exact.
 */
import type { Difference } from "./Compare.ts"
import { doors } from "./Doors.ts"

/** What an error says, where the balancer says it: its class and its status are still the service's. */
const words = ["threw.message", "threw.code", "threw.type", "threw.param", "threw.body*", "threw.headers.*"]

/** All of an error that has no status of the service's at the client alone, or at the balancer. */
const instead = [
  "threw.$error",
  "threw.message",
  "threw.status",
  "threw.code",
  "threw.type",
  "threw.param",
  "threw.requestID",
  "threw.body",
  "threw.headers",
  "threw.cause"
]

/** Cases that ask for a stream. */
const plainStreams = [
  "stream: *",
  "reading: *",
  "leaving: *",
  "timeout: *stream*",
  "error*stream*",
  "parse: a stream",
  "tools: *stream",
  "azure-*stream*"
]
const streams = [...plainStreams, "body: a stream asked for *"]

export const differences: ReadonlyArray<Difference> = [
  {
    what: "The service is sent a header `traceparent`",
    why: "Effect's own client adds it, so that the traces of both sides join.",
    doors: ["HttpClient"],
    cases: ["*"],
    at: ["sent.*.headers.traceparent"]
  },
  // --- answers ---------------------------------------------------------------------------------------------------------
  {
    what: "A response has no `url` and no `statusText`, and its `type` is `default`",
    why: "It is made by the balancer. The URL would name one resource of several.",
    doors,
    cases: ["raw: asResponse*", "stream: asResponse", "stream: of speech", "result: HEAD*", "method: *"],
    at: ["given.$response.url", "given.$response.statusText", "given.$response.type"]
  },
  {
    what:
      "Headers that held for one connection are gone: `content-length`, `transfer-encoding`, `connection`, `keep-alive`",
    why: "The body is given out anew: uncompressed, and without a usage chunk that nobody asked for.",
    doors,
    cases: ["raw: *", "stream: *", "responses stream: *", "result: HEAD*", "method: *"],
    at: ["*.content-length", "*.transfer-encoding", "*.connection", "*.keep-alive"]
  },
  {
    what: "An answer has a header `x-evenkeel-deployment`",
    why: "It says which deployment answered.",
    doors,
    cases: ["raw: *", "stream: *", "responses stream: *", "result: HEAD*", "method: *"],
    at: ["*.x-evenkeel-deployment"]
  },
  {
    what: "An answer's `set-cookie` is dropped",
    why: "It is one resource's, and the next request may go to another.",
    doors,
    cases: ["raw: cookies"],
    at: ["given.header", "given.cookies.0"]
  },
  {
    what: "A 200 that is no JSON object is a failure (503), where chat, responses or embeddings were asked for",
    why: "It comes from a proxy or a broken service; another deployment is asked instead.",
    doors,
    cases: [
      "result: text",
      "result: HTML",
      "result: no body*",
      "result: half a JSON",
      "result: a JSON *",
      "error: a whole answer that was answered as a stream"
    ],
    at: ["given", "threw", "threw.*"]
  },
  {
    what: "An answer that is compressed is a failure (503)",
    why: "The balancer looks into every answer, so it asks for plain ones, as the client alone does not.",
    doors,
    cases: ["result: compressed"],
    at: ["given", "threw"]
  },
  {
    what: "A 200 with an `error` in it is a failure (503, or the error's own status)",
    why: "It is the error that it says it is; another deployment is asked instead.",
    doors,
    cases: ["result: an error inside"],
    at: ["given", "threw"]
  },
  // --- errors ----------------------------------------------------------------------------------------------------------
  {
    what: "A 5xx ends as 503 in the balancer's words, with all `attempts` in `error`",
    why: "It is tried elsewhere first, and there is no one answer to hand on when all have failed.",
    doors,
    cases: [
      "error: status 5*",
      "error body: 500 *",
      "error code: 5*",
      "error elsewhere: 500 *",
      "error headers: of 503",
      "client: retries that are used up"
    ],
    at: [...words, "threw.status"]
  },
  {
    what:
      "3xx, 408, 409, 424, a model that is not there and a spent budget end as 503 in the balancer's words, with all `attempts` in `error`",
    why: "Another deployment may do better, so that it is asked first.",
    doors,
    cases: [
      "error: status 3*",
      "error: status 408",
      "error: status 409",
      "error: status 424",
      "error code: 404 model_not_found",
      "error code: 404 DeploymentNotFound",
      "error code: 429 insufficient_quota"
    ],
    at: [...words, "threw.status", "threw.$error"]
  },
  {
    what: "A redirect is not followed: it is a failure (503)",
    why: "It would take a prompt and a key to another place.",
    doors,
    cases: ["error: a redirect to another place"],
    at: ["given", "threw", "sent.1"]
  },
  {
    what:
      "A connection that is refused or broken ends as 503 with all `attempts` in `error`, not as an `APIConnectionError`",
    why: "Another deployment is asked first, and the attempts tell which of them failed how.",
    doors,
    cases: [
      "error: the connection breaks before a byte",
      "error: the answer breaks in its middle",
      "error: nobody listens"
    ],
    at: [...instead, "threw.name"]
  },
  {
    what: "A 429 is told in the balancer's words, with `retry-after` and all `attempts`",
    why: "The time is that of the deployment which is back first.",
    doors,
    cases: [
      "error: status 429",
      "error body: 429 *",
      "error code: 429 *",
      "error elsewhere: 429 *",
      "error headers: of 429"
    ],
    at: words
  },
  {
    what:
      "Of a refusal's headers only `x-request-id`, `apim-request-id`, `x-ms-region` and `content-type` (else `text/plain`) are kept; `x-should-retry: false` is added",
    why: "What a support team asks for is kept. A refusal is the same wherever it is sent, so retrying is over.",
    doors,
    cases: [
      "error: status 4*",
      "error: asResponse of a refusal",
      "error body: 4*",
      "error code: 4*",
      "error elsewhere: 4*",
      "error headers: of 4*",
      "model: *",
      "upload: that is refused",
      "audio: a form without a model",
      "pages: the second is refused",
      "polling: is refused in its middle",
      "tools: a refusal in their middle",
      "azure-*: a filtered prompt",
      "azure-*: a refusal",
      "azure-*: a missing thing"
    ],
    at: ["*threw.headers.*"]
  },
  {
    what: "A timeout of one call is a 504 (`InternalServerError`, `timeout_total`), not an `APIConnectionTimeoutError`",
    why: "It is the deadline of all attempts, which are listed in the error.",
    doors: ["lb.openai"],
    cases: ["timeout: of *"],
    at: instead
  },
  {
    what: "Status 421 is sent once",
    why: "Node's own fetch sends it a second time on a fresh connection; the balancer's transport does not.",
    doors,
    cases: ["error: status 421"],
    at: ["sent.1"]
  },
  // --- streams ---------------------------------------------------------------------------------------------------------
  {
    what: "What fails before a stream's first content is an error of the call (503), not of its first read",
    why: "Until then the answer is held back, so that another deployment can give it.",
    doors,
    cases: [
      "stream: without an event",
      "stream: with only [DONE]",
      "stream: with empty data",
      "stream: that is broken at once",
      "stream: with an event that is no JSON at its start",
      "stream: with an error at its start",
      "responses stream: with an error event at once",
      "responses stream: that failed at once"
    ],
    at: ["given", "threw"]
  },
  {
    what: "A refusal that is the first event of a stream is an error of the call (400), not of its first read",
    why: "Until then the answer is held back, and HTTP has a status for it.",
    doors,
    cases: ["stream: with an error that is the caller's at its start"],
    at: ["given", "threw"]
  },
  {
    what:
      "A stream that breaks, or ends without its end, throws an `APIError` with code `stream_interrupted`, the `attempts`, and what was `delivered`",
    why: "A bare end would finish the caller's loop as if all were well.",
    doors: ["lb.openai", "lb.fetch"],
    cases: [
      "stream: without *",
      "responses stream: without a last event",
      "stream: that is broken *",
      "stream: that ends in half an event",
      "stream: with an event that is no JSON in its middle",
      "stream: with a chunk that is *",
      "responses stream: that is broken in its middle",
      "responses stream: with an event that is no JSON in its middle",
      "reading: *that breaks"
    ],
    at: ["given*threw*", "given.$stream.items.*"]
  },
  {
    what:
      "A stream that breaks, or ends without its end, fails with an `HttpClientError` whose cause is the balancer's error",
    why: "That is how a body fails in Effect. A bare end would finish the caller's loop as if all were well.",
    doors: ["HttpClient"],
    cases: [
      "stream: without *",
      "responses stream: without a last event",
      "stream: that is broken *",
      "stream: that ends in half an event",
      "stream: with an event that is no JSON in its middle",
      "stream: with a chunk that is *",
      "responses stream: that is broken in its middle",
      "responses stream: with an event that is no JSON in its middle",
      "reading: *that breaks"
    ],
    at: ["given*threw*", "given.$stream.items.*"]
  },
  {
    what: "An answer that broke off fails with the balancer's error as its cause",
    why: "It has the attempts.",
    doors,
    cases: ["bytes: that break off"],
    at: ["threw.*"]
  },
  {
    what: "A stream that is answered whole is a failure (503)",
    why: "The client alone takes it for a stream without an event.",
    doors,
    cases: ["error: a stream that was answered whole"],
    at: ["given", "threw"]
  },
  {
    what: "An event without data is left out",
    why: "So says the standard; the client alone throws a `SyntaxError` at it.",
    doors: ["lb.openai"],
    cases: ["stream: with an event without data"],
    at: ["given.$stream.items.*", "given.$stream.threw"]
  },
  {
    what:
      "A chat stream is asked for with `include_usage: true` where nothing is said of it; the extra chunk is taken out",
    why: "The quota is kept by what answers bill.",
    doors,
    cases: [...streams, "stream: with a chunk of usage that was not asked for"],
    at: ["sent.*.body.stream_options", "given.$stream.items.4"]
  },
  {
    what: "`include_usage: true` is added to other `stream_options`",
    why: "The quota is kept by what answers bill.",
    doors,
    cases: ["stream: other options of a stream"],
    at: ["sent.0.body.stream_options.include_usage"]
  },
  {
    what: "A stream is asked for with `accept: text/event-stream`",
    why: "It is what is wanted. The client alone says `application/json`.",
    doors: ["lb.openai"],
    cases: [...plainStreams, "responses stream: *"],
    at: ["sent.*.headers.accept"]
  },
  // --- requests --------------------------------------------------------------------------------------------------------
  {
    what:
      "Only some of a caller's headers are sent on, default headers included; see the guide, \"Headers that cross\"",
    why:
      "Credentials and organizations are those of the chosen resource, cookies are nobody's, and Azure answers 431 above ten headers of one's own.",
    doors,
    cases: [
      "request*: a header of the caller's own",
      "request*: a cookie",
      "request*: an organization",
      "client: default headers",
      "client: an organization *"
    ],
    at: ["sent.0.headers.x-of-the-caller", "sent.0.headers.cookie", "sent.0.headers.openai-*"]
  },
  {
    what: "A query loses what carries a key, such as `api-key` and `access_token`",
    why: "Each resource has a key of its own.",
    doors,
    cases: ["request*: a key in the query"],
    at: ["sent.0.query"]
  },
  {
    what: "A query's `api-version` is passed on to no resource",
    why: "It belongs to the resource that is chosen, which gets its own where it is configured with one.",
    doors,
    cases: ["request*: an api-version in the query"],
    at: ["sent.0.query"]
  },
  {
    what: "Without a header `accept` one is sent all the same",
    why: "The transport asks for JSON or for a stream of events.",
    doors,
    cases: ["request*: a header that is taken away"],
    at: ["sent.0.headers.accept"]
  },
  {
    what: "A JSON body is sent as `application/json`, whatever kind of JSON it was said to be",
    why: "It is written anew, since the name of the model in it is the deployment's.",
    doors,
    cases: ["elsewhere: a body of another JSON"],
    at: ["sent.0.headers.content-type"]
  },
  {
    what: "A path with an escaped slash, with an empty part, or with a slash at its end is refused (400), unsent",
    why: "A path must not lead out of the API's base, however a service reads it.",
    doors,
    cases: [
      "path: with a%2Fb",
      "elsewhere: an id that is none",
      "elsewhere: a trailing slash",
      "elsewhere: two slashes"
    ],
    at: ["given", "threw", "sent.0"]
  },
  {
    what: "A model that no deployment serves is a 404 that lists those that are served, unsent",
    why: "There is nobody to ask.",
    doors,
    cases: ["model: that no deployment has"],
    at: ["threw.message", "threw.requestID", "threw.body.*", "sent.0"]
  },
  {
    what: "A chat without a model is a 400, unsent",
    why: "There is nobody to ask.",
    doors,
    cases: ["model: none, of a chat", "model: that is no text"],
    at: ["threw.message", "threw.code", "threw.param", "threw.body.*", "threw.requestID", "sent.0"]
  },
  {
    what: "Status 407 is an answer like any other",
    why: "Node's own fetch fails on it.",
    doors,
    cases: ["error: status 407"],
    at: ["threw.*"]
  },
  {
    what: "A failure that says `x-should-retry: false` is tried again all the same",
    why: "The balancer decides on retries; `failover.attempts` bounds them.",
    doors,
    cases: ["client: a service that asks not to retry"],
    at: ["threw", "given", "sent.1"]
  }
]
