/**
 * `evenkeel init`: a first configuration, from answers or from the environment.
 */
import { type ConfigInput, type ConfigIssue, decodeConfig } from "@evenkeel/core"
import * as Prompt from "effect/cli/Prompt"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { existsSync, writeFileSync } from "node:fs"
import * as Template from "../config/ConfigTemplate.ts"
import * as ConfigSource from "../ConfigSource.ts"

/** What it is given. */
export interface InitInput {
  readonly output: string
  readonly yes: boolean
  readonly force: boolean
}

/** The file is not written. */
class WriteError extends Data.TaggedError("WriteError")<{ readonly file: string; readonly why: string }> {
  override get message(): string {
    return `${this.file} ${this.why}`
  }
}

const exists = (file: string) =>
  new WriteError({ file, why: "is there already: --force overwrites it, --output writes another" })

/** Asks, or reads the environment where nobody can be asked, and writes the file. */
export const run = Effect.fnUntraced(function*({ force, output, yes }: InitInput) {
  // nobody is to answer in vain
  if (!force && existsSync(output)) return yield* exists(output)
  const { canPrompt } = yield* TerminalCapabilities
  const asks = canPrompt && !yes
  const said = fromEnvironment(process.env)
  // whoever is asked is not stopped by what is wrong elsewhere
  const known = asks ? Result.getOrElse(said, () => undefined) : yield* Effect.fromResult(said)
  const resources = asks ? yield* ask(known) : [known ?? Template.example]
  yield* Effect.try({
    try: () => writeFileSync(output, Template.render(resources), { flag: force ? "w" : "wx" }),
    catch: (cause) => {
      const { code } = cause as NodeJS.ErrnoException
      return code === "EEXIST" ? exists(output) : new WriteError({ file: output, why: `cannot be written (${code})` })
    }
  })
  const unset = resources.flatMap(({ keyVariable }) =>
    keyVariable === undefined || (process.env[keyVariable] ?? "") !== "" ? [] : [keyVariable]
  )
  yield* Console.log([
    `Wrote ${output}.`,
    ...(known === undefined && !asks
      ? ["The environment says nothing, so it is an example: put in your own."]
      : []),
    ...(unset.length === 0 ? [] : [`Set ${[...new Set(unset)].join(", ")}.`]),
    `Then: evenkeel check --config ${output}`
  ].join("\n"))
})

/** What the environment alone says, if it says anything. */
export const fromEnvironment = (
  environment: ConfigSource.Environment
): Result.Result<Template.TemplateResource | undefined, ConfigSource.ConfigSourceError> =>
  Object.keys(environment).some((name) => name.startsWith("AZURE_OPENAI_")) ||
    (environment["OPENAI_API_KEY"] ?? "") !== ""
    ? Result.map(ConfigSource.read({ ...environment, EVENKEEL_CONFIG: undefined }), Template.ofEnvironment)
    : Result.succeed(undefined)

/** Asks for one resource after the other. */
export const ask = (known: Template.TemplateResource | undefined) =>
  Effect.gen(function*() {
    const resources = [yield* askResource(known, [])]
    while (yield* Prompt.Confirm({ message: "Another resource?" })) {
      resources.push(yield* askResource(undefined, resources))
    }
    return resources
  }).pipe(Effect.catchTag("QuitError", () => Effect.interrupt))

/** @param environment what it says, of which a part fits where the same service is meant */
const askResource = Effect.fnUntraced(function*(
  environment: Template.TemplateResource | undefined,
  earlier: ReadonlyArray<Template.TemplateResource>
) {
  const provider = yield* Prompt.Select({
    message: "Which service?",
    choices: [
      { title: "Azure OpenAI", value: "azure" as const },
      { title: "OpenAI", value: "openai" as const, selected: environment?.provider === "openai" },
      { title: "Another that speaks OpenAI's API", value: "compatible" as const }
    ]
  })
  const known = environment?.provider === provider ? environment : undefined
  const endpoint = provider === "openai" ? undefined : yield* Prompt.String({
    message: provider === "azure" ? "Its endpoint, such as https://my-east.openai.azure.com" : "Its base URL",
    default: known?.endpoint ?? "",
    validate: (endpoint) => fitting(endpoint, { provider, endpoint }, "endpoint")
  })
  const taken = earlier.map(({ name }) => name)
  const name = yield* Prompt.String({
    message: "A name for it",
    default: nameOf(endpoint, taken),
    validate: (name) =>
      taken.includes(name) ? Effect.fail("is the name of another") : fitting(name, { provider, name }, "name")
  })
  const hasKey = provider === "openai" || (yield* Prompt.Select({
    message: "How does it know who asks?",
    choices: [
      { title: "By a key", value: true },
      { title: provider === "azure" ? "By Entra ID" : "Not at all", value: false }
    ]
  }))
  const keyVariable = hasKey
    ? yield* Prompt.String({
      message: "The variable of the environment that holds the key",
      default: known?.keyVariable ?? `${name.toUpperCase().replaceAll(/\W/g, "_")}_API_KEY`,
      validate: (name) =>
        /^[A-Za-z_]\w*$/.test(name)
          ? Effect.succeed(name)
          : Effect.fail("is not the name of a variable; never give the key itself")
    })
    : undefined
  const list = yield* Prompt.String({
    message: provider === "azure"
      ? "Its deployments, as name or name=model, with commas between"
      : "Its models, with commas between; * is every model",
    default: provider === "azure" ? listOf(known) : "*",
    validate: (list) => {
      const issues: Array<ConfigIssue> = []
      const deployments = ConfigSource.readDeployments(list, "", issues)
      return issues.length > 0
        ? Effect.fail(issues[0]!.message)
        : fitting(list, { provider, deployments }, "deployments")
    }
  })
  const tier = yield* Prompt.Select({
    message: "Its tier",
    choices: [
      { title: "1", value: 1, description: "used first" },
      { title: "2", value: 2, description: "only when no other can take more" },
      { title: "3", value: 3, description: "after that" }
    ]
  })
  const deployments = ConfigSource.readDeployments(list, "", [])
  return { name, provider, endpoint, apiVersion: known?.apiVersion, keyVariable, tier, deployments }
})

const listOf = (known: Template.TemplateResource | undefined): string =>
  (known?.deployments ?? []).map(({ model, name }) => model === undefined ? name : `${name}=${model}`).join(",")

/** The first part of a host's name, with a number where that is taken. */
const nameOf = (endpoint: string | undefined, taken: ReadonlyArray<string>): string => {
  const host = endpoint !== undefined && URL.canParse(endpoint) ? new URL(endpoint).hostname : "openai"
  const name = /^[\d.]+$/.test(host) ? "local" : host.split(".")[0]!
  let count = 1
  while (taken.includes(count === 1 ? name : `${name}-${count}`)) count++
  return count === 1 ? name : `${name}-${count}`
}

/** An answer that a configuration takes, or what is wrong with it, in its words. */
const fitting = (answer: string, resource: object, field: string): Effect.Effect<string, string> => {
  const decoded = decodeConfig({ resources: [resource as ConfigInput["resources"][number]] })
  const issues = Result.isFailure(decoded) ? decoded.failure : []
  const mistake = issues.find(({ path }) => path.startsWith(`resources[0].${field}`))
  return mistake === undefined ? Effect.succeed(answer) : Effect.fail(mistake.message)
}
