/**
 * Runs a program of `examples/` as a user would: in a process of its own, unchanged, against the simulated service.
 */
import { type Simulator, startSimulator } from "@evenkeel/node"
import { fileURLToPath } from "node:url"
import { type Finished, finished, spawned, usualEnvironment } from "../support/Child.ts"

export { type Finished } from "../support/Child.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** Far above what any of them takes: a program that hangs is ended, and its code is `null`. */
const AT_MOST = 30_000

/** Runs `examples/<name>` with nothing in its environment but what is given. */
export const run = (
  name: string,
  environment: Readonly<Record<string, string>> = {},
  args: ReadonlyArray<string> = []
): Promise<Finished> =>
  finished(spawned(process.execPath, [`examples/${name}`, ...args], {
    cwd: root,
    env: { ...usualEnvironment, ...environment },
    most: AT_MOST
  }))

const latency = { baseMs: 30, perPromptTokenMs: 0, perOutputTokenMs: 1, jitter: 0 }

/** The resources that the examples name: `eastus` and `sweden`, with quotas as in their configuration. */
export const startTwo = (
  reply: ((resource: string) => string) | undefined = (resource) => `Hello from ${resource}.`
): Promise<Simulator> =>
  startSimulator({
    resources: [{ name: "eastus", tpm: 300_000, rpm: 1_800 }, { name: "sweden", tpm: 150_000, rpm: 900 }].map(
      ({ name, ...limits }) => ({
        name,
        deployments: [{ name: "gpt-4o", ...limits, latency, outputTokens: 30, reply: reply && (() => reply(name)) }]
      })
    )
  })

/** The variables that the examples with a configuration in code read. */
export const variables = (simulator: Simulator): Readonly<Record<string, string>> =>
  Object.fromEntries(simulator.resources.flatMap(({ apiKey, name, url }) => {
    const prefix = name === "eastus" ? "EAST" : "SWEDEN"
    return [[`${prefix}_ENDPOINT`, url], [`${prefix}_KEY`, apiKey]]
  }))

/** The same as one variable, for those that leave it to the environment. */
export const evenkeelConfig = (simulator: Simulator): Readonly<Record<string, string>> => ({
  EVENKEEL_CONFIG: JSON.stringify({ resources: simulator.resources.map((resource) => resource.config()) })
})
