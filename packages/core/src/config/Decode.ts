/**
 * From what a user wrote to what a schema and rules between values allow, or every mistake in it.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaParser from "effect/SchemaParser"
import type { ConfigIssue } from "../Errors.ts"
import { type Context, formatPath, fromSchemaIssue, type Reference, valueAt } from "./ConfigErrors.ts"

/**
 * Settings of a decoder, for sources that put values in from elsewhere.
 *
 * @category configuration
 */
export interface DecodeOptions {
  /**
   * Values that came from variables, by path (`resources[0].apiKey`): messages show their labels, never their content,
   * and one that is whole may be a number, `true` or `false` written as a text.
   */
  readonly references?: ReadonlyMap<string, Reference> | undefined
}

/**
 * Makes a decoder of a schema, and of rules that look at what the user wrote, whatever else is wrong with it. It never
 * throws, and reports every mistake at once.
 */
export const decodeBy = <A, I>(schema: Schema.Codec<A, I>, rules: (context: Context) => ReadonlyArray<ConfigIssue>) => {
  const decodeInput = SchemaParser.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  const decodeWith = (context: Context): Result.Result<A, ReadonlyArray<ConfigIssue>> => {
    const decoded = decodeInput(context.input)
    const misfits = Result.isFailure(decoded) ? fromSchemaIssue(decoded.failure, context) : []
    let input = context.input
    for (const { at } of misfits) {
      const isWhole = context.references.get(formatPath(at))?.whole === true
      const value = isWhole ? fromText(valueAt(input, at)) : undefined
      if (value !== undefined) input = replaceAt(input, at, value)
    }
    if (!Object.is(input, context.input)) return decodeWith({ ...context, input })
    const issues = [...misfits.map(({ issue }) => issue), ...rules(context)]
    return Result.isFailure(decoded) || issues.length > 0 ? Result.fail(issues) : Result.succeed(decoded.success)
  }
  return (input: unknown, options?: DecodeOptions): Result.Result<A, ReadonlyArray<ConfigIssue>> => {
    try {
      return decodeWith({ input, references: options?.references ?? new Map() })
    } catch {
      // a getter, a proxy or a wiped key threw; what it said may hold a secret
      return Result.fail([{ path: "", message: "cannot be read: reading one of its values failed" }])
    }
  }
}

/** What a text stands for where a text is not accepted. */
const fromText = (text: unknown): number | boolean | undefined => {
  if (typeof text !== "string") return undefined
  if (text === "true" || text === "false") return text === "true"
  return /^\s*-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : undefined
}

const replaceAt = (input: unknown, [key, ...rest]: ReadonlyArray<PropertyKey>, value: unknown): unknown => {
  if (key === undefined) return value
  const copy: any = Array.isArray(input) ? [...input] : { ...input as object }
  copy[key] = replaceAt(copy[key], rest, value)
  return copy
}
