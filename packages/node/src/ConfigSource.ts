/**
 * The configuration from where a process is started: a file, a variable with its text, or the environment alone.
 *
 * 1. `EVENKEEL_CONFIG`: the path of a YAML or JSON file, or the text itself, with `${NAME}` references.
 * 2. `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_DEPLOYMENTS` and, unless Entra ID is to be used, `AZURE_OPENAI_API_KEY`.
 * 3. `OPENAI_API_KEY`, where no variable begins with `AZURE_OPENAI_`: prompts meant for Azure never go to OpenAI.
 *
 * The first that is set is used, and if it is wrong the others are not looked at. Errors name variables; they never
 * show what is in them.
 */
import { type Config, type ConfigInput, type ConfigIssue, decodeConfig } from "@evenkeel/core"
import type { DecodeOptions, Reference } from "@evenkeel/core/internal"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { readFileSync, statSync } from "node:fs"
import * as ConfigText from "./config/ConfigText.ts"

/**
 * Variables by name, such as `process.env`.
 *
 * @category models
 */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The configuration could not be read. Every mistake is listed; no key and no content of a variable is.
 *
 * @category errors
 */
export class ConfigSourceError extends Data.TaggedError("ConfigSourceError")<{
  /** Where the configuration was looked for: the name of a file, `EVENKEEL_CONFIG`, or `the environment`. */
  readonly source: string
  readonly issues: ReadonlyArray<ConfigIssue>
}> {
  /** What a program that is started with it ends with. */
  override get [Runtime.errorExitCode](): number {
    return 2
  }

  override get message(): string {
    const lines = this.issues.map(({ message, path }) => `  - ${path === "" ? message : `${path}: ${message}`}`)
    return `The configuration from ${this.source} is not valid:\n${lines.join("\n")}`
  }
}

type Loaded<A = Config> = Result.Result<A, ConfigSourceError>

type Decode<A> = (input: unknown, options: DecodeOptions) => Result.Result<A, ReadonlyArray<ConfigIssue>>

/**
 * Reads the configuration from the given variables, at once.
 *
 * @category constructors
 */
export const read = (environment: Environment): Loaded => {
  const text = environment["EVENKEEL_CONFIG"]
  if (text !== undefined && text.trim() !== "") return fromVariable(text, environment)
  if (Object.keys(environment).some((name) => name.startsWith("AZURE_OPENAI_") && environment[name] !== undefined)) {
    return fromAzureVariables(environment)
  }
  return fromOpenAiVariable(environment)
}

/**
 * Reads the configuration from the given variables.
 *
 * **Example** (Reading in a test)
 *
 * ```ts
 * const config = yield* loadFrom({ OPENAI_API_KEY: "test" })
 * ```
 *
 * @category constructors
 */
export const loadFrom = (environment: Environment): Effect.Effect<Config, ConfigSourceError> =>
  Effect.suspend(() => Effect.fromResult(read(environment)))

/**
 * Reads the configuration of this process.
 *
 * @category constructors
 */
export const load: Effect.Effect<Config, ConfigSourceError> = Effect.suspend(() => loadFrom(process.env))

/**
 * Reads a YAML or JSON file, at once.
 *
 * @param decode what it is a file of, such as `decodeConfig`
 * @category constructors
 */
export const readFile = <A>(path: string, environment: Environment, decode: Decode<A>): Loaded<A> => {
  const text = textOf(path)
  return "problem" in text
    ? failed(path, { path: "", message: `${text.problem}, seen from ${process.cwd()}` })
    : fromText(text.content, path, environment, decode)
}

const failed = (source: string, ...issues: ReadonlyArray<ConfigIssue>): Result.Result<never, ConfigSourceError> =>
  Result.fail(new ConfigSourceError({ source, issues }))

// -----------------------------------------------------------------------------
// EVENKEEL_CONFIG
// -----------------------------------------------------------------------------

const fromVariable = (value: string, environment: Environment): Loaded => {
  const source = "EVENKEEL_CONFIG"
  if (/[\n\r]/.test(value.trim()) || value.trimStart().startsWith("{")) {
    return fromText(value, source, environment, decodeConfig)
  }

  const path = value.trim()
  const isNamed = /^[^\s:]+\.(?:ya?ml|json)$/i.test(path.replace(/^[A-Za-z]:(?=[\\/])/, ""))
  const file = textOf(path)
  if ("content" in file) return fromText(file.content, path, environment, decodeConfig)
  if (file.isAbsent === true && /:\s/.test(path)) return fromText(value, source, environment, decodeConfig)
  const name = isNamed
    ? `the file ${JSON.stringify(path)}`
    : "a file, as its value has one line and does not begin with `{`"
  return failed(source, {
    path: "",
    message: `was taken as the name of ${name}: ${file.problem}, seen from ${process.cwd()}; ` +
      "give the path of a YAML or JSON file, or the text of one"
  })
}

/** The text of a file, or why there is none. */
const textOf = (
  path: string
): { readonly content: string } | { readonly problem: string; readonly isAbsent?: boolean } => {
  try {
    return statSync(path).isFile() ? { content: readFileSync(path, "utf8") } : { problem: "it is not a file" }
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
    if (code === "ENOENT" || code === "ENOTDIR") return { problem: "no such file exists", isAbsent: true }
    return { problem: `the file cannot be read${code === "" ? "" : ` (${code})`}` }
  }
}

const fromText = <A>(text: string, source: string, environment: Environment, decode: Decode<A>): Loaded<A> => {
  const parsed = ConfigText.parse(text)
  if (Result.isFailure(parsed)) return failed(source, { path: "", message: parsed.failure })
  const { input, issues: missing, references } = ConfigText.resolve(parsed.success, environment)
  const decoded = decode(input, { references })
  if (Result.isSuccess(decoded) && missing.length === 0) return Result.succeed(decoded.success)
  // a value that could not be filled in has been reported already
  const reported = new Set(missing.map(({ path }) => path))
  const others = Result.isFailure(decoded) ? decoded.failure.filter(({ path }) => !reported.has(path)) : []
  return failed(source, ...missing, ...others)
}

// -----------------------------------------------------------------------------
// the environment alone
// -----------------------------------------------------------------------------

const understood = new Set([
  "AZURE_OPENAI_ENDPOINT",
  "AZURE_OPENAI_API_KEY",
  "AZURE_OPENAI_DEPLOYMENTS",
  "AZURE_OPENAI_API_VERSION"
])

const fromAzureVariables = (environment: Environment): Loaded => {
  const issues: Array<ConfigIssue> = []
  const required = (name: string, what: string): string | undefined => {
    const value = environment[name]
    if (value !== undefined && value.trim() !== "") return value.trim()
    issues.push({ path: name, message: `${value === undefined ? "is missing" : "is empty"}: ${what}` })
    return undefined
  }
  const optional = (name: string, without: string): string | undefined =>
    environment[name] === undefined ? undefined : required(name, without)

  const endpoint = required(
    "AZURE_OPENAI_ENDPOINT",
    "give the resource's address, such as https://my-east.openai.azure.com"
  )
  const list = required("AZURE_OPENAI_DEPLOYMENTS", "list the deployments as name or name=model, separated by commas")
  const apiKey = optional("AZURE_OPENAI_API_KEY", "give the resource's key, or unset it to use Entra ID")
  const apiVersion = optional("AZURE_OPENAI_API_VERSION", "give a date such as 2024-10-21, or unset it for the v1 API")
  const deployments = list === undefined ? [] : readDeployments(list, "AZURE_OPENAI_DEPLOYMENTS", issues)
  const unread = Object.keys(environment).filter((name) => name.startsWith("AZURE_OPENAI_") && !understood.has(name))
  const key = unread.find((name) => name.includes("KEY"))
  // without a key Entra ID would be used, which is not what this says
  if (apiKey === undefined && key !== undefined) {
    issues.push({ path: key, message: "is not read; did you mean AZURE_OPENAI_API_KEY?" })
  }
  if (issues.length > 0 && unread.length > 0) {
    issues.push({ path: "", message: `set, but not read: ${unread.toSorted().join(", ")}` })
  }

  const decoded = decodeVariables(
    {
      name: "azure",
      provider: "azure",
      endpoint: endpoint ?? "https://missing.openai.azure.com",
      apiVersion,
      ...(apiKey === undefined ? { auth: "entra" } : { apiKey }),
      deployments: deployments.length === 0 ? [{ name: "missing" }] : deployments
    },
    {
      endpoint: "AZURE_OPENAI_ENDPOINT",
      apiVersion: "AZURE_OPENAI_API_VERSION",
      apiKey: "AZURE_OPENAI_API_KEY",
      deployments: "AZURE_OPENAI_DEPLOYMENTS"
    }
  )
  if (Result.isFailure(decoded)) issues.push(...decoded.failure)
  return Result.isSuccess(decoded) && issues.length === 0
    ? Result.succeed(decoded.success)
    : failed("the environment", ...issues)
}

/**
 * Reads `name[=model],…`.
 *
 * @param path what mistakes are said to be in
 */
export const readDeployments = (
  list: string,
  path: string,
  issues: Array<ConfigIssue>
): ReadonlyArray<{ readonly name: string; readonly model?: string }> => {
  const seen = new Set<string>()
  const add = (message: string) => issues.push({ path, message })
  const out = list.split(",").flatMap((entry, index) => {
    if (entry.trim() === "") return []
    const [name = "", model, ...rest] = entry.split("=").map((part) => part.trim())
    if (name === "" || model === "" || rest.length > 0) {
      add(`entry ${index + 1} is neither name nor name=model`)
      return []
    }
    if (seen.has(name)) {
      add(`entry ${index + 1} repeats the name of an earlier one`)
      return []
    }
    seen.add(name)
    return [model === undefined ? { name } : { name, model }]
  })
  if (seen.size === 0 && issues.length === 0) add("has no entry: list the deployments as name or name=model")
  return out
}

const fromOpenAiVariable = (environment: Environment): Loaded => {
  const apiKey = environment["OPENAI_API_KEY"]
  if (apiKey === undefined || apiKey.trim() === "") return failed("the environment", { path: "", message: threeWays })
  return Result.mapError(
    decodeVariables({ name: "openai", provider: "openai", apiKey }, { apiKey: "OPENAI_API_KEY" }),
    (issues) => new ConfigSourceError({ source: "the environment", issues })
  )
}

/** Decodes one resource made of variables; mistakes name the variable in place of the path. */
const decodeVariables = (
  resource: ConfigInput["resources"][number],
  variables: Readonly<Record<string, string>>
): Result.Result<Config, ReadonlyArray<ConfigIssue>> => {
  const variableOf = (path: string) => variables[/^resources\[0\]\.(\w+)/.exec(path)?.[1] ?? ""]
  const references = new Map<string, Reference>()
  const refer = (path: string): void => {
    const label = variableOf(path)
    if (label !== undefined) references.set(path, { label, whole: false })
  }
  for (const key of Object.keys(resource)) refer(`resources[0].${key}`)
  resource.deployments?.forEach((_, index) => {
    refer(`resources[0].deployments[${index}].name`)
    refer(`resources[0].deployments[${index}].model`)
  })
  return Result.mapError(
    decodeConfig({ resources: [resource] }, { references }),
    (issues) => issues.map(({ message, path }) => ({ path: variableOf(path) ?? path, message }))
  )
}

const threeWays = `nothing is configured. Give one of:
      EVENKEEL_CONFIG=evenkeel.yaml                        a YAML or JSON file, or the text of one
      AZURE_OPENAI_ENDPOINT=https://my-east.openai.azure.com
      AZURE_OPENAI_DEPLOYMENTS=gpt-4o,my-mini=gpt-4o-mini  with AZURE_OPENAI_API_KEY, or Entra ID without it
      OPENAI_API_KEY=…                                     OpenAI, every model`
