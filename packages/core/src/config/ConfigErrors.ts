/**
 * The wording of mistakes: what was found, and what would be right, in plain words.
 *
 * A message never shows what is, or looks like, a secret. A value is shown only where no key belongs, only when it is
 * short, and never when it looks like a key that went astray.
 */
import * as Redacted from "effect/Redacted"
import * as SchemaAST from "effect/SchemaAST"
import type * as SchemaIssue from "effect/SchemaIssue"
import type { ConfigIssue } from "../Errors.ts"

/** Keys and indices from the top of the configuration. */
export type Path = ReadonlyArray<PropertyKey>

/**
 * A value that was put in from elsewhere, such as a variable of the environment: its content is never shown.
 *
 * @category models
 */
export interface Reference {
  /** Shown in place of the content, such as `${EAST_TPM}`. */
  readonly label: string
  /** The reference is the whole value, so that the text may stand for a number, `true` or `false`. */
  readonly whole: boolean
}

/** What a mistake is described against. */
export interface Context {
  readonly input: unknown
  /** By path, as `formatPath` writes it. */
  readonly references: ReadonlyMap<string, Reference>
}

/** Whether it is an object with keys. */
export const isRecord = (value: unknown): value is Readonly<Record<PropertyKey, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The value at a path, looking at own properties only. */
export const valueAt = (input: unknown, path: Path): unknown => {
  let value = input
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

/** Whether a text could be a key that went astray. */
export const looksSecret = (text: string): boolean =>
  text.length > 60 || /^sk-|(?=\w*\d)[A-Za-z0-9_]{16}|[0-9a-fA-F-]{32}/.test(text)

/** A text in quotes, or only its length where it could be a secret. */
export const showText = (text: string): string =>
  looksSecret(text) ? `a text of ${text.length} characters` : JSON.stringify(text)

/** The path as it is written in code: `timeouts.models["gpt-4.1"].idle`. */
export const formatPath = (path: Path): string => {
  let out = ""
  for (const key of path) {
    const name = String(key)
    if (typeof key === "number") out += `[${key}]`
    else if (looksSecret(name)) out += `[a key of ${name.length} characters]`
    else if (typeof key === "string" && /^[A-Za-z_$][\w$]*$/.test(key)) out += out === "" ? key : `.${key}`
    else out += `[${JSON.stringify(name)}]`
  }
  return out
}

/** Keys under which nothing is ever shown. */
const secretKeys = new Set<PropertyKey>(["apiKey", "auth", "endpoint", "headers", "proxy", "redis", "tls"])

/** What was found at a path. */
export const found = (context: Context, path: Path): string => {
  const reference = context.references.get(formatPath(path))
  if (reference !== undefined) return `the value of ${reference.label}`
  const value = valueAt(context.input, path)
  const isSecret = path.some((key) => secretKeys.has(key))
  if (value === undefined) return "nothing"
  if (value === null) return "nothing (null)"
  if (value === "") return "an empty text"
  if (typeof value === "string") return isSecret ? "a text" : showText(value)
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`
  if (typeof value !== "object") return isSecret ? `a ${typeof value}` : String(value)
  if (Redacted.isRedacted(value)) return "a redacted value"
  if (ArrayBuffer.isView(value)) return "bytes: give them as text"
  return !Array.isArray(value) ? "an object" : value.length === 0 ? "an empty list" : "a list"
}

/** A mistake whose value should be something else. */
export const mismatch = (context: Context, path: Path, expected: string): ConfigIssue => ({
  path: formatPath(path),
  message: `expected ${expected}, found ${found(context, path)}`
})

/** How many letters apart two words are (insertions, deletions, replacements, neighbours swapped). */
const distance = (a: string, b: string): number => {
  let beforeLast: Array<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(Math.min(last[j]! + 1, row[j - 1]! + 1, replaced, isSwapped ? beforeLast[j - 2]! + 1 : Infinity))
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

/** What people write from habit, in the words of other clients. */
const synonyms: Readonly<Record<string, string>> = {
  azureendpoint: "endpoint",
  baseurl: "endpoint",
  key: "apiKey",
  maxretries: "attempts",
  priority: "tier",
  token: "auth",
  url: "endpoint"
}

const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9*]/g, "")

/** The known word that was probably meant. */
export const suggest = (word: string, known: ReadonlyArray<string>): string | undefined => {
  if (word.length > 60) return undefined
  const synonym = Object.hasOwn(synonyms, plain(word)) ? synonyms[plain(word)] : undefined
  if (synonym !== undefined && known.includes(synonym)) return synonym
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(plain(word).length / 3)) + 0.5
  for (const candidate of known) {
    const apart = distance(plain(word), plain(candidate))
    if (apart < bestDistance) {
      best = candidate
      bestDistance = apart
    }
  }
  return best
}

/** A key that there is not, with the one that was probably meant, else with those that there are. */
export const unknownKey = (path: Path, known: ReadonlyArray<string>): ConfigIssue => {
  const key = path.at(-1)
  const meant = typeof key === "string" ? suggest(key, known) : undefined
  const hint = typeof key === "string" && key.includes("${")
    ? "a reference in braces must be quoted: \"${NAME}\""
    : meant !== undefined
    ? `did you mean \`${meant}\`?`
    : known.length === 0
    ? "there is nothing to set here yet"
    : `known here: ${known.map((name) => `\`${name}\``).join(", ")}`
  return { path: formatPath(path), message: `unknown key; ${hint}` }
}

const expectedOf = SchemaAST.resolveAt<string>("expected")

/** `a, b or c`, each once. */
const either = (words: ReadonlyArray<string>): string => {
  const each = [...new Set(words)]
  return each.length < 2 ? each.join("") : `${each.slice(0, -1).join(", ")} or ${each.at(-1)}`
}

const expectedBy = (ast: SchemaAST.AST): string => {
  const expected = expectedOf(ast)
  if (expected !== undefined) return expected
  // a value that may be left out is a union with undefined: what was expected is told by the other member
  if (SchemaAST.isUnion(ast)) return either(ast.types.filter((type) => !SchemaAST.isUndefined(type)).map(expectedBy))
  if (SchemaAST.isLiteral(ast)) return JSON.stringify(ast.literal)
  if (SchemaAST.isString(ast)) return "a text"
  if (SchemaAST.isNumber(ast)) return "a number"
  if (SchemaAST.isBoolean(ast)) return "true or false"
  return SchemaAST.isArrays(ast) ? "a list" : SchemaAST.isObjects(ast) ? "an object" : "another value"
}

/** The key by which the objects of a union are told apart, and what it may be. */
const tagOf = ({ types }: SchemaAST.Union): { readonly key: PropertyKey; readonly expected: string } | undefined => {
  const tags = types.map((type) =>
    SchemaAST.isObjects(type) ? type.propertySignatures.find(({ type }) => SchemaAST.isLiteral(type)) : undefined
  )
  const key = tags[0]?.name
  return key !== undefined && tags.every((tag) => tag?.name === key)
    ? { key, expected: either(tags.map((tag) => expectedBy(tag!.type))) }
    : undefined
}

/** A mistake that a schema found, and where. */
interface Misfit {
  readonly at: Path
  readonly issue: ConfigIssue
}

/**
 * Every mistake that a schema found, with the path of each.
 */
export const fromSchemaIssue = (issue: SchemaIssue.Issue, context: Context, at: Path = []): ReadonlyArray<Misfit> => {
  const inside = (issue: SchemaIssue.Issue) => fromSchemaIssue(issue, context, at)
  const unlike = (expected = "another value") => [{ at, issue: mismatch(context, at, expected) }]
  const unknown = (known: ReadonlyArray<string>) => [{ at, issue: unknownKey(at, known) }]
  switch (issue._tag) {
    case "Composite":
      return issue.issues.flatMap(inside)
    case "Pointer":
      return fromSchemaIssue(issue.issue, context, [...at, ...issue.path])
    case "Encoding":
      return inside(issue.issue)
    case "Filter":
      return unlike(issue.filter.annotations?.expected)
    case "MissingKey": {
      const message = `is missing${issue.annotations?.messageMissingKey ?? ""}`
      return [{ at, issue: { path: formatPath(at), message } }]
    }
    case "UnexpectedKey":
      return unknown(
        SchemaAST.isObjects(issue.ast) ? issue.ast.propertySignatures.map(({ name }) => String(name)) : []
      )
    case "InvalidType":
      return SchemaAST.isNever(issue.ast) ? unknown([]) : unlike(expectedBy(issue.ast))
    case "AnyOf": {
      const inner = issue.issues.filter((inner) => !(inner._tag === "InvalidType" && SchemaAST.isUndefined(inner.ast)))
      const tag = isRecord(valueAt(context.input, at)) ? tagOf(issue.ast) : undefined
      if (inner.length === 0 && tag !== undefined) {
        const tagAt = [...at, tag.key]
        return [{ at: tagAt, issue: mismatch(context, tagAt, tag.expected) }]
      }
      const hasWords = expectedOf(issue.ast) !== undefined || inner.length === 0
      return hasWords ? unlike(expectedBy(issue.ast)) : inner.flatMap(inside)
    }
    default:
      return unlike()
  }
}
