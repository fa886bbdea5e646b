/**
 * Answers at the level of HTTP: as bytes, text or JSON.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Answer } from "../attempt/Answer.ts"
import { interrupted, type StreamBreak } from "../attempt/AnswerBody.ts"
import type { Batch } from "../attempt/SseReader.ts"
import type { LoadBalancerError } from "../Errors.ts"

/** An answer at the level of HTTP. Its body is read once, by one of the three. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** `resource/deployment` that answered. */
  readonly deployment: string
  readonly text: Effect.Effect<string, LoadBalancerError>
  readonly json: Effect.Effect<unknown, LoadBalancerError>
  readonly stream: Stream.Stream<Uint8Array, LoadBalancerError>
}

const encoder = new TextEncoder()

/** A batch as bytes: those it came in, or its events written anew. */
export const bytesOf = (batch: Batch): Uint8Array => {
  if (batch.bytes !== undefined) return batch.bytes
  let text = ""
  for (const { data, name } of batch.events) {
    if (name !== "message") text += `event: ${name}\n`
    text += `data: ${data.includes("\n") ? data.replaceAll("\n", "\ndata: ") : data}\n\n`
  }
  return encoder.encode(text)
}

/**
 * An answer as this door gives it out.
 *
 * @param onEnd called when its body has ended, or was given up
 */
export const answerOf = (answer: Answer, onEnd: () => void = () => {}): HttpAnswer => {
  const { deployment, headers, status } = answer
  const stream = Stream.mapError(bodyOf(answer, onEnd), interrupted)
  const text = answer._tag === "Whole" ? Effect.succeed(answer.text) : Stream.mkString(Stream.decodeText(stream))
  const json = answer._tag === "Whole" ? Effect.succeed<unknown>(answer.json) : Effect.map(text, parse)
  return { status, headers, deployment: deployment.id, text, json, stream }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/**
 * The body of an answer as bytes; it fails with what broke it.
 *
 * @param onEnd called when it has ended, or was given up
 */
export const bodyOf = (answer: Answer, onEnd: () => void = () => {}): Stream.Stream<Uint8Array, StreamBreak> => {
  if (answer._tag === "Whole") return Stream.succeed(encoder.encode(answer.text))
  const { stream } = answer
  const pull = stream.pull((batch): readonly [Uint8Array] => [bytesOf(batch)])
  return Stream.ensuring(
    Stream.fromPull(Effect.succeed(pull)),
    Effect.sync(() => {
      stream.close()
      onEnd()
    })
  )
}
