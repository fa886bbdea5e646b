/**
 * Programs beside the tests of pages: the gateway as its users start it, and whatever else is on this machine.
 */
import { spawn, spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { usualEnvironment } from "../support/Child.ts"
import { root } from "./Pages.ts"

/** Whether a program can be run here. */
export const isThere = (program: string, args: ReadonlyArray<string>): boolean => {
  const { error, status } = spawnSync(program, args, { timeout: 20_000, stdio: "ignore" })
  const found = error === undefined && status === 0
  if (!found) console.warn(`SKIPPED: what needs \`${[program, ...args].join(" ")}\`, which cannot be run here`)
  return found
}

/** How a gateway ended, and all that it said. */
export interface Stopped {
  readonly code: number | null
  readonly said: string
}

/** `evenkeel serve` in a process of its own. */
export interface Served extends AsyncDisposable {
  readonly url: string
  readonly said: () => string
  readonly signal: (name: NodeJS.Signals) => void
  /** Tells it to stop, and waits until it has. */
  readonly stop: () => Promise<Stopped>
}

export interface GatewayOptions {
  /** Options of Node. */
  readonly node?: ReadonlyArray<string>
  readonly args?: ReadonlyArray<string>
}

/** Starts it with the text of a configuration, on whatever port is free. */
export const startGateway = async (
  config: string,
  variables: Readonly<Record<string, string>>,
  { args = ["--port", "0"], node = [] }: GatewayOptions = {}
): Promise<Served> => {
  const child = spawn(process.execPath, [...node, "packages/node/src/bin.ts", "serve", ...args], {
    cwd: fileURLToPath(root),
    env: { ...usualEnvironment, ...variables, EVENKEEL_CONFIG: config },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let said = ""
  const listening = /Evenkeel listens at (http:\S+);/
  const url = new Promise<string>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`The gateway does not listen:\n${said}`)), 30_000)
    const hear = (text: string) => {
      said += text
      const found = listening.exec(said)?.[1]
      if (found === undefined) return
      clearTimeout(limit)
      resolve(found)
    }
    child.stdout.setEncoding("utf8").on("data", hear)
    child.stderr.setEncoding("utf8").on("data", hear)
    child.on("error", reject)
    child.on("close", () => {
      clearTimeout(limit)
      reject(new Error(`The gateway ended:\n${said}`))
    })
  })
  const ended = new Promise<Stopped>((resolve) => child.on("close", (code) => resolve({ code, said })))
  const stop = () => {
    child.kill("SIGTERM")
    const limit = setTimeout(() => child.kill("SIGKILL"), 10_000)
    return ended.finally(() => clearTimeout(limit))
  }
  try {
    return {
      url: await url,
      said: () => said,
      signal: (name) => child.kill(name),
      stop,
      [Symbol.asyncDispose]: async () => {
        await stop()
      }
    }
  } catch (cause) {
    child.kill("SIGKILL")
    throw cause
  }
}
