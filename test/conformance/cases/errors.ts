/**
 * Refusals and failures: the class, the words and all that a program may read of an error.
 */
import type { OpenAI } from "openai"
import type { Case } from "../Case.ts"
import type { Answer } from "../Server.ts"
import { completed, headers, hello, refusal, streamed } from "./Answers.ts"

const ask = (client: OpenAI) => client.chat.completions.create(hello)

const statuses = [
  300,
  301,
  302,
  303,
  304,
  305,
  307,
  308,
  400,
  401,
  402,
  403,
  404,
  405,
  406,
  407,
  408,
  409,
  410,
  411,
  412,
  413,
  414,
  415,
  416,
  417,
  418,
  421,
  422,
  423,
  424,
  425,
  426,
  428,
  429,
  431,
  451,
  460,
  499,
  500,
  501,
  502,
  503,
  504,
  505,
  506,
  507,
  508,
  510,
  511,
  520,
  521,
  522,
  523,
  524,
  525,
  529,
  530,
  598,
  599
]

/** Whether a status tells of nobody but the caller, so that no other case feels it. */
const isRefusal = (status: number): boolean =>
  status >= 400 && status < 500 && ![401, 403, 408, 409, 424, 429].includes(status)

const ofStatus: ReadonlyArray<Case> = statuses.map((status) => ({
  name: `error: status ${status}`,
  isShared: isRefusal(status),
  script: [{ status, headers, json: refusal(`Refused with ${status}.`) }],
  call: ask
}))

const long = "That is too long. ".repeat(500)

/** Bodies of refusals, of every service that speaks this API. */
const shapes: ReadonlyArray<readonly [string, Answer]> = [
  ["OpenAI's", { json: refusal() }],
  ["OpenAI's without a code", { json: refusal("No.", { code: null, param: null }) }],
  ["OpenAI's with more", {
    json: refusal("No.", { innererror: { code: "Deeper", content_filter_result: {} }, status: 400 })
  }],
  ["Azure's with a code in words", { json: { error: { code: "BadRequest", message: "No." } } }],
  ["Azure's with a status as its code", { json: { error: { code: "400", message: "No." } } }],
  ["Azure's with a number as its code", { json: { error: { code: 400, message: "No." } } }],
  ["of an API gateway", { json: { statusCode: 400, message: "No." } }],
  ["a flat message", { json: { message: "No.", type: "invalid_request_error", code: "no" } }],
  ["a detail", { json: { detail: "No." } }],
  ["details", { json: { detail: [{ loc: ["body", "model"], msg: "field required", type: "value_error.missing" }] } }],
  ["vLLM's", { json: { object: "error", message: "No.", type: "BadRequestError", param: null, code: 400 } }],
  ["an error in words", { json: { error: "No." } }],
  ["an error in words and its code", { json: { error: "no_access", error_description: "No." } }],
  ["an error that is null", { json: { error: null, message: "No." } }],
  ["a message that is an object", { json: { error: { message: { text: "No." } } } }],
  ["an empty error", { json: { error: {} } }],
  ["an empty object", { json: {} }],
  ["an array", { json: [{ error: { message: "No." } }] }],
  ["null", { json: null }],
  ["a number", { json: 7 }],
  ["a text in JSON", { json: "No." }],
  ["text", { headers: { "content-type": "text/plain" }, text: "No." }],
  ["HTML", { headers: { "content-type": "text/html" }, text: "<html><body>No.</body></html>" }],
  ["text that is said to be JSON", { headers: { "content-type": "application/json" }, text: "No." }],
  ["JSON that is said to be text", { headers: { "content-type": "text/plain" }, text: JSON.stringify(refusal()) }],
  ["JSON without a type", { text: JSON.stringify(refusal()) }],
  ["nothing", {}],
  ["nothing that is said to be JSON", { headers: { "content-type": "application/json" } }],
  ["a long message", { json: refusal(long) }],
  ["words of every script", { json: refusal("Nein: Grüße, 東京, \u{1f600}\n\"quoted\"") }]
]

/** Shapes by the name of which another status is looked at too. */
const telling = new Set(["OpenAI's with more", "a flat message", "a detail", "HTML", "nothing"])

const ofShape: ReadonlyArray<Case> = [400, 422, 429, 500].flatMap((status) =>
  shapes.filter(([name]) => status === 400 || telling.has(name)).map(([name, answer]): Case => ({
    name: `error body: ${status} with ${name}`,
    isShared: isRefusal(status),
    script: [{ ...answer, status, headers: { ...headers, ...answer.headers } }],
    call: ask
  }))
)

/** Refusals whose code the balancer has an own view of. */
const codes: ReadonlyArray<readonly [string, number, object]> = [
  [
    "content_filter",
    400,
    refusal("The response was filtered.", {
      code: "content_filter",
      innererror: { code: "ResponsibleAIPolicyViolation" }
    })
  ],
  ["content_policy_violation", 400, refusal("Rejected by the safety system.", { code: "content_policy_violation" })],
  [
    "context_length_exceeded",
    400,
    refusal("This model's maximum context length is 8192 tokens.", { code: "context_length_exceeded" })
  ],
  [
    "string_above_max_length",
    400,
    refusal("Invalid 'user': string too long.", { code: "string_above_max_length", param: "user" })
  ],
  ["model_not_found", 404, refusal("The model `gpt-4o` does not exist.", { code: "model_not_found", param: null })],
  ["DeploymentNotFound", 404, {
    error: { code: "DeploymentNotFound", message: "The API deployment for this resource does not exist." }
  }],
  ["Resource not found", 404, { error: { code: "404", message: "Resource not found" } }],
  ["invalid_api_key", 401, refusal("Incorrect API key provided: sk-*.", { code: "invalid_api_key", param: null })],
  ["PermissionDenied", 401, {
    error: { code: "PermissionDenied", message: "Principal does not have access to API/Operation." }
  }],
  [
    "unsupported_country",
    403,
    refusal("Country not supported.", { code: "unsupported_country_region_territory", type: "request_forbidden" })
  ],
  [
    "insufficient_quota",
    429,
    refusal("You exceeded your current quota.", { code: "insufficient_quota", type: "insufficient_quota" })
  ],
  ["rate_limit_exceeded", 429, refusal("Rate limit reached.", { code: "rate_limit_exceeded", type: "requests" })],
  [
    "tokens",
    429,
    refusal("Request too large for gpt-4o: Limit 10, Requested 20.", { code: "rate_limit_exceeded", type: "tokens" })
  ],
  ["misalignment", 400, refusal("Refused.", { code: "misalignment" })],
  ["data_residency_mismatch", 400, refusal("Refused.", { code: "data_residency_mismatch" })],
  ["bio_policy", 400, refusal("Refused.", { code: "bio_policy" })],
  [
    "unsupported_value",
    400,
    refusal("Unsupported value: 'temperature'.", { code: "unsupported_value", param: "temperature" })
  ],
  [
    "previous_response_not_found",
    400,
    refusal("Previous response not found.", { code: "previous_response_not_found" })
  ],
  ["server_error", 500, refusal("The server had an error.", { code: "server_error", type: "server_error" })],
  ["overloaded", 503, refusal("The engine is overloaded.", { code: "engine_overloaded", type: "server_error" })]
]

const ofCode: ReadonlyArray<Case> = codes.map(([code, status, json]) => ({
  name: `error code: ${status} ${code}`,
  script: [{ status, headers, json }],
  call: ask
}))

const told = {
  ...headers,
  "retry-after": "7",
  "retry-after-ms": "6500",
  "apim-request-id": "apim-1",
  "x-ms-region": "East US",
  "x-ratelimit-remaining-tokens": "0",
  "x-of-the-service": "yes"
}

/** Endpoints besides chat. */
const elsewhere: ReadonlyArray<readonly [string, (client: OpenAI) => unknown]> = [
  ["a file", (client) => client.files.retrieve("file-1234567")],
  ["a list", (client) => client.batches.list()],
  ["a response", (client) => client.responses.create({ model: "gpt-4o", input: "Say hello." })],
  ["an embedding", (client) => client.embeddings.create({ model: "text-embedding-3-small", input: "Hello." })],
  ["a stored response", (client) => client.responses.retrieve("resp_1234567")],
  ["speech", (client) => client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello." })],
  ["a stream", (client) => client.chat.completions.create({ ...hello, stream: true })],
  ["a stream's helper", (client) => client.chat.completions.stream(hello).finalMessage()]
]

const ofEndpoint: ReadonlyArray<Case> = elsewhere.flatMap(([name, call]) =>
  [400, 404, 429, 500].map((status): Case => ({
    name: `error elsewhere: ${status} of ${name}`,
    isShared: isRefusal(status),
    script: [{ status, headers, json: refusal(`Refused with ${status}.`) }],
    call
  }))
)

export const cases: ReadonlyArray<Case> = [
  ...ofStatus,
  ...ofShape,
  ...ofCode,
  ...ofEndpoint,
  ...[400, 401, 429, 503].map((status): Case => ({
    name: `error headers: of ${status}`,
    script: [{ status, headers: told, json: refusal() }],
    call: ask
  })),
  {
    name: "error: asResponse of a refusal",
    script: [{ status: 400, headers, json: refusal() }],
    call: (client) => ask(client).asResponse()
  },
  {
    name: "error: a stream that was answered whole",
    script: [completed],
    call: (client) => client.chat.completions.create({ ...hello, stream: true })
  },
  {
    name: "error: a whole answer that was answered as a stream",
    script: [streamed],
    call: ask
  },
  {
    name: "error: a redirect to another place",
    script: (_, index) => index === 0 ? { status: 307, headers: { ...headers, location: "moved" } } : completed,
    call: ask
  },
  {
    name: "error: the connection breaks before a byte",
    script: [{ reset: true }],
    call: ask
  },
  {
    name: "error: nobody listens",
    script: [completed],
    // a port that no service has
    origin: "http://127.0.0.1:9",
    call: ask
  },
  {
    name: "error: the answer breaks in its middle",
    script: [{ headers: { ...headers, "content-type": "application/json" }, chunks: ["{\"id\":"], after: "cut" }],
    call: ask
  }
]
