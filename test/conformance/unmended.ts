/**
 * Differences that are not meant to stay: each goes from here when the point that it names is mended.
 */
import type { Difference } from "./Compare.ts"
import { doors } from "./Doors.ts"

export const unmended: ReadonlyArray<Difference> = [
  {
    what: "401 and 403 end as 503 in the balancer's words",
    why: "They are tried on another resource first.",
    doors,
    cases: [
      "error: status 401",
      "error: status 403",
      "error code: 401 *",
      "error code: 403 *",
      "error headers: of 401"
    ],
    at: [
      "threw.message",
      "threw.code",
      "threw.type",
      "threw.param",
      "threw.body*",
      "threw.headers.*",
      "threw.status",
      "threw.$error"
    ],
    point: 35
  },
  {
    what: "A refusal whose body is no `{\"error\": {…}}` is told in the balancer's words",
    why: "Its own message is looked for in the body.",
    doors,
    cases: [
      "of an API gateway",
      "a flat message",
      "a detail",
      "details",
      "vLLM's",
      "an error in words*",
      "an error that is null",
      "an empty object",
      "an array",
      "null",
      "a number",
      "a text in JSON",
      "text",
      "HTML",
      "text that is said to be JSON",
      "nothing*"
    ].map((shape) => `error body: 4* with ${shape}`),
    at: ["threw.message", "threw.code", "threw.type", "threw.param", "threw.body*"],
    point: 23
  },
  {
    what: "A refusal that is the first event of a stream is a 503, not the refusal",
    why: "Its code is not one that is known to be the caller's fault.",
    doors,
    cases: ["stream: with an error that is the caller's at its start"],
    at: ["given", "threw"],
    point: 33
  },
  {
    what:
      "An error event of the service in a stream, or a `response.failed` at its end, comes as an `HttpClientError`, not as the event",
    why: "The door tells every break of a stream in one way.",
    doors: ["HttpClient"],
    cases: [
      "stream: with *error*in its middle",
      "responses stream: with *error event in its middle",
      "responses stream: that failed at its end"
    ],
    at: ["given.$stream.threw*", "given.$stream.threw"],
    point: 33
  },
  {
    what: "A chat stream is asked for with `include_usage: true` even over an explicit `false`",
    why: "The quota is kept by what answers bill.",
    doors,
    cases: ["stream: usage that was refused"],
    at: ["sent.0.body.stream_options.include_usage"],
    point: 10
  },
  {
    what: "A response that goes on from another, without a model, is a 400, unsent",
    why: "Its model would be that of the first.",
    doors,
    cases: ["model: none, of a response that goes on"],
    at: ["given", "threw", "sent.0"],
    point: 25
  },
  {
    what: "`defaultQuery` of the client is lost for chat, responses and embeddings",
    why: "The request is recognised by its path alone.",
    doors: ["lb.openai"],
    cases: ["client: a default query"],
    at: ["sent.0.query"],
    point: 25
  },
  {
    what: "Parameters with getters are read once more",
    why: "The body is written before the client has watched it.",
    doors: ["lb.openai"],
    cases: ["body: a format with a getter"],
    at: ["sent.0.body.response_format.reads"],
    point: 25
  },
  {
    what:
      "`admin.*` and `fineTuning.checkpoints.permissions.*` throw \"Could not resolve authentication method\", unsent",
    why: "The client has no admin key.",
    doors: ["lb.openai"],
    cases: ["method: admin.*", "method: fineTuning.checkpoints.permissions.*"],
    at: ["given", "threw", "sent.0"],
    point: 25
  },
  {
    what: "A stream is asked for, or not, by what `stream` is in the parameters, not by how it is written",
    why: "The body is written before the client has watched it.",
    doors: ["lb.openai"],
    cases: [
      "body: a stream asked for by an object of *",
      "body: a stream asked for by a text",
      "body: a stream asked for by how the body *",
      "body: a stream asked for by how the value *",
      "body: a stream asked for and not by *"
    ],
    at: ["given", "given.*", "threw"],
    point: 25
  }
]
