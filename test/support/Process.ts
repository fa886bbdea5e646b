/**
 * `evenkeel serve` as a process of its own, before simulated resources of the test's.
 */
import { startSimulator } from "#node/simulator/SimulatorServer"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { deployment, until } from "./Edge.ts"

const program = fileURLToPath(new URL("../../packages/node/src/bin.ts", import.meta.url))

/** How long a process may take to begin, in milliseconds, on a busy machine. */
const START = 60_000

/** A folder of the test's own. */
export const folder = (): { readonly path: string } & Disposable => {
  const path = mkdtempSync(join(tmpdir(), "evenkeel-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Puts a file in the place of another in one step, as editors and deployments do. */
export const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

/** A process that may have ended. */
export interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  readonly output: () => string
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>
  /** Until it says this, so many times. */
  readonly says: (part: string, times?: number) => Promise<void>
}

/** Runs the command. */
export const run = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}): Running => {
  const child = spawn(process.execPath, [program, ...args], {
    // nothing of the developer's own environment
    env: { PATH: process.env["PATH"] ?? "", NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
  }
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? signal))
  })
  return {
    child,
    output: () => output,
    ended,
    says: (part, times = 1) =>
      until(
        () => {
          if (child.exitCode !== null) throw new Error(`It has ended: ${output}`)
          return output.split(part).length > times
        },
        `It does not say "${part}"`,
        START
      ),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL")
      await ended
    }
  }
}

type Own = Partial<Parameters<typeof startSimulator>[0]["resources"][number]["deployments"][number]>

/** A gateway that serves, its configuration in a file. */
export const serve = async (
  gateway: object = {},
  own: Own = {},
  args: ReadonlyArray<string> = [],
  names: ReadonlyArray<string> = ["east"]
) => {
  const simulator = await startSimulator({
    resources: names.map((name) => ({ name, apiKey: `key-of-${name}`, deployments: [{ ...deployment, ...own }] }))
  })
  const place = folder()
  const file = join(place.path, "evenkeel.json")
  const text = (changes: object = {}, used: ReadonlyArray<string> = names) =>
    JSON.stringify({
      resources: simulator.resources.filter(({ name }) => used.includes(name)).map((resource) => resource.config()),
      health: { check: { kind: "none" } },
      gateway: { port: 0, ...gateway, ...changes }
    })
  writeFileSync(file, text())
  const running = run(["serve", "--config", file, ...args])
  const close = async () => {
    await running[Symbol.asyncDispose]()
    await simulator.close()
    place[Symbol.dispose]()
  }
  try {
    await running.says("Evenkeel listens at")
  } catch (cause) {
    await close()
    throw cause
  }
  const url = /listens at (\S+);/.exec(running.output())![1]!
  return { ...running, simulator, file, text, url, port: Number(new URL(url).port), [Symbol.asyncDispose]: close }
}
