/**
 * Configuration as text: YAML or JSON, with `${NAME}` references to variables.
 *
 * References are replaced after parsing, in texts only: what a variable holds can neither break the syntax nor add
 * structure. What a parser says about the text is shown only as far as no key can be in it.
 */
import type { ConfigIssue } from "@evenkeel/core"
import { formatPath, looksSecret, type Path, type Reference } from "@evenkeel/core/internal"
import * as Yaml from "effect/encoding/Yaml"
import * as Result from "effect/Result"

/**
 * Parses YAML or JSON. Fails with what is wrong and on which line.
 */
export const parse = (text: string): Result.Result<unknown, string> => {
  const isJson = /^\uFEFF?\s*\{/.test(text)
  try {
    // JSON first: it tells lines of its own mistakes better, and accepts what YAML's subset may not
    if (isJson) return Result.succeed(JSON.parse(text.replace(/^\uFEFF/, "")))
  } catch (cause) {
    try {
      return Result.succeed(Yaml.parse(text))
    } catch {
      return Result.fail(`is not JSON: syntax error${jsonPlace(cause, text)}`)
    }
  }
  try {
    return Result.succeed(Yaml.parse(text))
  } catch (cause) {
    const hint = /\{[^}\n"']*:\s*\$\{/.test(text) ? `; a reference in braces must be quoted: "\${NAME}"` : ""
    return Result.fail(`is not YAML: ${yamlMistake(cause, text)}${hint}`)
  }
}

const reasonOf = (cause: unknown): string => cause instanceof SyntaxError ? cause.message : "syntax error"

/** The engine quotes the text in its messages, so only the place is taken from them. */
const jsonPlace = (cause: unknown, text: string): string => {
  const position = /at position (\d+)/.exec(reasonOf(cause))?.[1]
  const end = /end of JSON input/.test(reasonOf(cause)) ? text.length : undefined
  const offset = position === undefined ? end : Number(position)
  return offset === undefined ? "" : ` on line ${text.trimEnd().slice(0, offset).split("\n").length}`
}

const yamlMistake = (cause: unknown, text: string): string => {
  const reason = reasonOf(cause)
  const line = /at line (\d+)/.exec(reason)?.[1] ?? lineOf(text, reason)
  const what = reason
    .replace(/ at (?:line|flow offset) \d+/, "")
    // an alias may be a key that begins with `*`, and whatever else is quoted may be a value
    .replaceAll(
      / ?'([^']*)'/g,
      (whole, quoted: string) =>
        quoted.length === 1 || (/^[A-Za-z]\w*$/.test(quoted) && !looksSecret(quoted)) ? whole : ""
    )
  return `${what.charAt(0).toLowerCase()}${what.slice(1)}${line === undefined ? "" : ` on line ${line}`}`
}

/** Where the parser names no line: the first line from which on the text has this mistake. */
const lineOf = (text: string, reason: string): number | undefined => {
  const lines = text.split("\n")
  if (lines.length > 1_000) return undefined
  let line = lines.length
  while (line > 1) {
    try {
      Yaml.parse(lines.slice(0, line - 1).join("\n"))
      return line
    } catch (cause) {
      if (reasonOf(cause) !== reason) return line
    }
    line--
  }
  return line
}

/**
 * A parsed text with its references replaced.
 */
export interface Resolved {
  readonly input: unknown
  /** Which values came from variables, by path. */
  readonly references: ReadonlyMap<string, Reference>
  /** Variables that are not set, and references that cannot be read. */
  readonly issues: ReadonlyArray<ConfigIssue>
}

const maxDepth = 32
const maxValues = 100_000

/**
 * Replaces `${NAME}` and `${NAME:-default}` in every text; `$${` stands for a plain `${`. An empty variable counts as
 * not set.
 */
export const resolve = (parsed: unknown, environment: Readonly<Record<string, string | undefined>>): Resolved => {
  const references = new Map<string, Reference>()
  const issues: Array<ConfigIssue> = []
  let values = 0

  const visit = (value: unknown, at: Path): unknown => {
    // aliases can make a short text endlessly large
    if (++values > maxValues || at.length > maxDepth) return value
    if (typeof value === "string") return replace(value, at)
    if (Array.isArray(value)) return value.map((item, index) => visit(item, [...at, index]))
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...at, key])]))
  }

  const replace = (text: string, at: Path): string => {
    if (!text.includes("${")) return text
    const path = formatPath(at)
    const names = new Set<string>()
    const replaced = text.replaceAll(
      /\$(\$\{)|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$\{/g,
      (_, escaped: string | undefined, name: string | undefined, fallback: string | undefined) => {
        if (escaped !== undefined) return escaped
        if (name === undefined) {
          issues.push({ path, message: "has a `${` that is no reference; write `${NAME}`, or `$${` for a plain `${`" })
          return ""
        }
        names.add(name)
        const value = Object.hasOwn(environment, name) ? environment[name] : undefined
        if (value !== undefined && value !== "") return value
        if (fallback === undefined) {
          const state = value === undefined ? "not set" : "empty"
          // a default for a key would be a key in a file
          const hint = path.endsWith("apiKey") ? "" : `, or write \`\${${name}:-default}\``
          issues.push({ path, message: `the variable ${name} is ${state}; set it${hint}` })
        }
        return fallback ?? ""
      }
    )
    if (names.size > 0) {
      const whole = /^\$\{[A-Za-z_]\w*(?::-[^}]*)?\}$/.test(text)
      references.set(path, { label: [...names].map((name) => `\${${name}}`).join(" and "), whole })
    }
    return replaced
  }

  const input = visit(parsed, [])
  if (values > maxValues) issues.push({ path: "", message: `holds more than ${maxValues.toLocaleString("en")} values` })
  return { input, references, issues }
}
