/**
 * A first configuration as text, with comments that say what else there is. A key is a reference to a variable, never a
 * value.
 */
import type { Config } from "@evenkeel/core"
import { Yaml } from "@evenkeel/core/internal"

/** What is known of a resource. */
export interface TemplateResource {
  readonly name: string
  readonly provider: "azure" | "openai" | "compatible"
  /** Not needed for OpenAI itself. */
  readonly endpoint: string | undefined
  readonly apiVersion: string | undefined
  /** The variable that holds its key. None: Entra ID on Azure, no key elsewhere. */
  readonly keyVariable: string | undefined
  readonly tier: number
  readonly deployments: ReadonlyArray<{ readonly name: string; readonly model?: string | undefined }>
}

/** What is known where nothing is configured yet. */
export const example: TemplateResource = {
  name: "my-east",
  provider: "azure",
  endpoint: "https://my-east.openai.azure.com",
  apiVersion: undefined,
  keyVariable: "AZURE_OPENAI_API_KEY",
  tier: 1,
  deployments: [{ name: "gpt-4o" }]
}

/** The one resource of a configuration that came from the environment alone. */
export const ofEnvironment = ({ resources }: Config): TemplateResource => {
  const { apiVersion, auth, deployments, endpoint, name, provider } = resources[0]!
  const keyVariable = provider === "azure" ? "AZURE_OPENAI_API_KEY" : "OPENAI_API_KEY"
  return {
    name,
    provider,
    endpoint: provider === "openai" ? undefined : endpoint,
    apiVersion,
    keyVariable: auth._tag === "Key" ? keyVariable : undefined,
    tier: 1,
    deployments: deployments.map(({ model, name }) => ({ name, model: model === name ? undefined : model }))
  }
}

/** Where comments begin. */
const COLUMN = 48

const line = (text: string, comment?: string): string =>
  comment === undefined ? text : `${text.padEnd(COLUMN - 1)} # ${comment}`

/** The configuration as YAML. What is not needed stands in comments, and holds once they are taken away. */
export const render = (resources: ReadonlyArray<TemplateResource>): string =>
  [
    "# What Evenkeel balances over. docs/configuration.md has every key; `evenkeel check` tells what is wrong.",
    "# Keys stand in variables of the environment, and not here.",
    "",
    "resources:",
    ...resources.flatMap((resource, i) => resourceLines(resource, i === 0)),
    "",
    "# How `evenkeel serve` listens, and who may come in.",
    "# gateway:",
    line("#   host: 127.0.0.1", "any other needs keys"),
    line("#   port: 4000"),
    line("#   keys:"),
    line("#     - name: team-a", "shown in logs and metrics"),
    line("#       key: ${TEAM_A_KEY}", "or sha256: …, as `evenkeel key` prints it"),
    line("#       rpm: 600"),
    ""
  ].join("\n")

const resourceLines = (
  { apiVersion, deployments, endpoint, keyVariable, name, provider, tier }: TemplateResource,
  isFirst: boolean
): ReadonlyArray<string> => {
  const { scalar } = Yaml
  /** Said once. */
  const said = (text: string, comment: string) => line(text, isFirst ? comment : undefined)
  const entra = provider === "azure" ? ["    auth: entra"] : []
  return [
    said(`  - name: ${scalar(name)}`, "unique; shown in logs, metrics and errors"),
    said(`    provider: ${provider}`, "azure, openai, or compatible for what speaks its API"),
    ...(endpoint === undefined ? [] : [`    endpoint: ${scalar(endpoint)}`]),
    ...(apiVersion === undefined ? [] : [said(`    apiVersion: ${scalar(apiVersion)}`, "without it, the v1 API")]),
    ...(keyVariable === undefined ? entra : [
      said(
        `    apiKey: \${${keyVariable}}`,
        provider === "azure" ? "or, with Entra ID, auth: entra" : "the variable with the key"
      )
    ]),
    "    deployments:",
    ...deployments.flatMap(({ model, name }, i) => {
      const say = (text: string, comment: string) => line(text, isFirst && i === 0 ? comment : undefined)
      return [
        say(
          `      - name: ${scalar(name)}`,
          name === "*" ? "every model" : provider === "azure" ? "of the deployment" : "of the model"
        ),
        ...(model === undefined ? [] : [say(`        model: ${scalar(model)}`, "what callers ask for")]),
        say(`        tier: ${tier}`, "1 is used first, the next when no other can take more"),
        say("        # tpm: 300000", "tokens a minute; without it, what the service's headers tell"),
        say("        # rpm: 1800", "requests a minute, likewise")
      ]
    })
  ]
}
