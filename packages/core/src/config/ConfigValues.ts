/**
 * The kinds of value in a configuration: what each takes, how a mistake says what would be right, and what is held of a key
 * that is left out.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import type { DurationInput } from "./ConfigInput.ts"

/** A key that must be there, and what to do where it is not. */
export const needed = <S extends Schema.Top>(schema: S, hint: string): S["Rebuild"] =>
  schema.annotateKey({ messageMissingKey: `: ${hint}` })

/** A key that may be left out, with what holds then, as a user would write it. */
export const or = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]) =>
  Schema.withDecodingDefault<S>(Effect.succeed(value))(schema)

/** A key that may be left out. It is there once it is read, so that all objects of a kind have the same keys. */
export const maybe = <S extends Schema.Constraint>(schema: S) =>
  Schema.optional(schema).pipe(Schema.decodeTo(Schema.UndefinedOr(Schema.toType(schema)), {
    decode: SchemaGetter.withDefault<S["Type"] | undefined>(Effect.succeed(undefined)),
    encode: SchemaGetter.passthrough()
  }))

/** A value that is read by a function, which returns undefined for what it does not take. */
const leaf = <A, I>(expected: string, read: (input: unknown) => A | undefined): Schema.Codec<A, I> =>
  Schema.declareConstructor<A, I>()([], () => (input, ast, options) => {
    const value = read(input)
    return value === undefined ? Effect.fail(new SchemaIssue.InvalidType(ast, input, options)) : Effect.succeed(value)
  }, { expected })

/** Longest duration that a timer can hold. */
const longest = 2_147_483_647

/**
 * Milliseconds of a duration as users write it, or undefined.
 */
export const readDuration = (input: unknown): number | undefined => {
  if (typeof input === "number") return Number.isFinite(input) ? input : undefined
  const isText = typeof input === "string" && /^\d+(?:\.\d+)? [a-z]+$/.test(input)
  if (!isText && !Duration.isDuration(input)) return undefined
  const duration = Duration.fromInput(input as Duration.Input)
  return duration._tag === "Some" ? Duration.toMillis(duration.value) : undefined
}

const durationOf = (expected: string, holds: (millis: number) => boolean) =>
  leaf<number, DurationInput>(`${expected}, such as "10 seconds" or a number of milliseconds`, (input) => {
    const millis = readDuration(input)
    return millis !== undefined && holds(millis) ? millis : undefined
  })

export const duration = durationOf("a duration above 0, at most 24 days", (ms) => ms > 0 && ms <= longest)
export const durationOrNone = durationOf("a duration of 0 or more, at most 24 days", (ms) => ms >= 0 && ms <= longest)
export const withinMinute = durationOf("a duration above 0, at most 1 minute", (ms) => ms > 0 && ms <= 60_000)

export const number = (expected: string, holds: (value: number) => boolean) =>
  Schema.Number.check(Schema.makeFilter((value: number) => Number.isFinite(value) && holds(value), { expected }))

export const count = number("a whole number of at least 1", (value) => Number.isSafeInteger(value) && value >= 1)
export const port = number(
  "a port from 0 to 65535",
  (value) => Number.isInteger(value) && value >= 0 && value <= 65_535
)
export const ratio = number("a number from 0 to 1", (value) => value >= 0 && value <= 1)
export const share = number("a number above 0, at most 1", (value) => value > 0 && value <= 1)
export const aboveZero = number("a number above 0", (value) => value > 0)
export const notNegative = number("a number of 0 or more", (value) => value >= 0)

export const atLeastOne = <S extends Schema.Constraint>(item: S, what: string) =>
  Schema.Array(item).check(Schema.isMinLength(1)).annotate({ expected: `a list with at least one ${what}` })

export const text = (expected: string, pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern, { expected }))

/** Neither empty nor with spaces around it, and without control characters. */
export const word = (what: string) => text(`${what}, without spaces around it`, /^(?!\s)\P{Cc}+(?<!\s)$/u)

type TextOrRedacted = string | Redacted.Redacted<string>

const reveal = (input: unknown): unknown => Redacted.isRedacted(input) ? Redacted.value(input) : input

/** A text, redacted or not, that is kept as a secret once it is read. */
const hidden = (expected: string, holds: (text: string) => boolean) =>
  leaf<Redacted.Redacted<string>, TextOrRedacted>(expected, (input) => {
    const value = reveal(input)
    return typeof value === "string" && holds(value.trim()) ? Redacted.make(value.trim()) : undefined
  })

export const key = hidden("the key as a text of visible ASCII characters", (text) => /^[!-~]+$/.test(text))

export const header = hidden(
  "a header's value: a text of visible ASCII characters and spaces",
  (text) => /^[ -~]+$/.test(text)
)

type Auth = "entra" | (() => string | Promise<string>)

export const auth = leaf<Auth, Auth>(
  "\"entra\" or a function that gives a token",
  (input) => input === "entra" || typeof input === "function" ? input as Auth : undefined
)

export const proxy = leaf<"none" | Redacted.Redacted<string>, TextOrRedacted>(
  "\"none\", or the URL of a proxy such as \"http://proxy.example:3128\"",
  (input) => {
    const value = reveal(input)
    if (value === "none") return value
    if (typeof value !== "string" || !/^https?:\/\/[^/]/i.test(value) || !URL.canParse(value)) return undefined
    const { hash, pathname, search } = new URL(value)
    return pathname === "/" && search + hash === "" ? Redacted.make(value) : undefined
  }
)

export const redisUrl = hidden(
  "the URL of a Redis or Valkey, such as \"rediss://user:password@host:6380/0\"",
  (text) => /^rediss?:\/\/[^/]/i.test(text) && URL.canParse(text) && /^\/?\d*$/.test(new URL(text).pathname)
)

const isPem = (text: string, what: string) => text.startsWith("-----BEGIN ") && text.includes(`${what}-----`)

export const certificate = (what: string) => {
  const expected = `${what} in PEM, which begins with "-----BEGIN CERTIFICATE-----"`
  return Schema.String.check(Schema.makeFilter((text: string) => isPem(text.trim(), "CERTIFICATE"), { expected }))
}

export const privateKey = hidden(
  "the private key of `cert` in PEM, not encrypted, which begins with \"-----BEGIN PRIVATE KEY-----\"",
  (text) => isPem(text, "PRIVATE KEY") && !text.includes("ENCRYPTED")
)
