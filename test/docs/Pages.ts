/**
 * The pages of `docs/` as a test sees them: their blocks, their links, and the configurations on them.
 */
import * as ConfigSource from "#node/ConfigSource"
import type { Config } from "@evenkeel/core"
import * as Result from "effect/Result"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const root = new URL("../../", import.meta.url)

/** The text of a file of the project. */
export const textOf = (path: string): string => readFileSync(new URL(path, root), "utf8")

/** Names of the files in a folder of the project, in order. */
export const namesIn = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(new URL(folder, root)).filter((name) => name.endsWith(ending)).toSorted()

/** A fenced block. */
export interface Block {
  readonly language: string
  readonly text: string
}

/** The fenced blocks of a page; those in a list are taken out of it. */
export const blocksOf = (page: string): ReadonlyArray<Block> =>
  Array.from(page.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms), ([, indent = "", language = "", text = ""]) => ({
    language,
    text: text.replaceAll(new RegExp(`^${indent}`, "gm"), "")
  }))

/** The blocks of a page in one language that begin with this comment. */
export const blocksNamed = (page: string, language: string, first: string): ReadonlyArray<string> =>
  blocksOf(page).filter((block) => block.language === language && block.text.startsWith(first)).map(({ text }) => text)

const anchorsOf = (page: string): ReadonlySet<string> =>
  new Set(
    [...page.replaceAll(/^```.*?^```$/gms, "").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
      heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
    )
  )

/** Links of a page that lead nowhere in this project. */
export const brokenLinks = (path: string): ReadonlyArray<string> => {
  const at = new URL(path, root)
  const page = readFileSync(at, "utf8").replaceAll(/^( *)```.*?^\1```$/gms, "")
  return Array.from(page.matchAll(/\]\(([^)]*)\)/g), ([, target = ""]) => target).filter((target) => {
    if (/^https?:/.test(target)) return false
    const [file = "", anchor] = target.split("#")
    const to = file === "" ? at : new URL(file, at)
    if (!existsSync(to)) return true
    return anchor !== undefined && fileURLToPath(to).endsWith(".md") && !anchorsOf(readFileSync(to, "utf8")).has(anchor)
  })
}

/** What stands in for the variables that a configuration names. */
export const variablesOf = (yaml: string): Record<string, string> =>
  Object.fromEntries(Array.from(yaml.matchAll(/\$\{(\w+)\}/g), ([, name = ""]) => [
    name,
    name.endsWith("ENDPOINT")
      ? `https://${name.toLowerCase().replaceAll("_", "-")}.openai.azure.com`
      : name.endsWith("SHA256")
      ? "0".repeat(64)
      : name === "REDIS_URL"
      ? "rediss://user:password@redis.example:6380"
      : `value-of-${name}`
  ]))

/** Reads a configuration as the real program does. Throws with every mistake. */
export const configOf = (yaml: string, variables: Readonly<Record<string, string>> = variablesOf(yaml)): Config =>
  Result.getOrThrowWith(
    ConfigSource.read({ ...variables, EVENKEEL_CONFIG: yaml }),
    (error) => new Error(`${error.message}\n\n${yaml}`)
  )

type Deployment = Config["resources"][number]["deployments"][number]

/** Every deployment of a configuration, with its id. */
export const deploymentsOf = ({ resources }: Config): ReadonlyArray<Deployment & { readonly id: string }> =>
  resources.flatMap(({ deployments, name }) =>
    deployments.map((deployment) => ({ ...deployment, id: `${name}/${deployment.name}` }))
  )
