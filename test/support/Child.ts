/**
 * A program of its own, in a process of its own: for what an environment variable does, and for how a process ends.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Ended {
  readonly code: number | null
  /** The signal that ended it: `SIGKILL` when it did not end in time. */
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** How long a program may run: what takes longer hangs, on a busy machine too. */
const MOST_MILLIS = 25_000

/** A program that runs, until it is killed for it takes too long. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** What it has printed, once that matches. */
  readonly said: (pattern: RegExp) => Promise<string>
}

/** Runs a program of `test/support/children` to its end. */
export const runChild = (
  name: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Ended> => start([pathOf(`./children/${name}.ts`), ...args], environment).ended

const command = "../../packages/node/src/bin.ts"

/** Starts the command `evenkeel`. */
export const startEvenkeel = (
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {},
  cwd?: string
): Running => start([pathOf(command), ...args], environment, cwd)

/** Runs the command `evenkeel` to its end. */
export const runEvenkeel = (
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {},
  cwd?: string
): Promise<Ended> => startEvenkeel(args, environment, cwd).ended

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

/** A configuration whose one resource is on this machine, where nobody listens. */
export const nowhere = {
  EVENKEEL_CONFIG: JSON.stringify({
    resources: [{
      name: "nowhere",
      provider: "compatible",
      endpoint: "http://127.0.0.1:9/v1",
      deployments: [{ name: "gpt-4o" }]
    }]
  })
}

/** Compiled sources are kept, so that each further process starts in half the time. */
const cache = fileURLToPath(new URL("../../node_modules/.cache/children/", import.meta.url))

/** What every program of ours is given, and nothing else of the developer's own environment. */
export const usualEnvironment = { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: cache }

const start = (
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>>,
  cwd?: string
): Running => spawned(process.execPath, args, { cwd, env: { ...usualEnvironment, ...environment } })

export interface SpawnedOptions {
  readonly cwd?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Milliseconds after which it is killed. */
  readonly most?: number | undefined
}

/** Starts any program. */
export const spawned = (
  program: string,
  args: ReadonlyArray<string>,
  { cwd, env, most = MOST_MILLIS }: SpawnedOptions
): Running => {
  const child = spawn(program, args, {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: most,
    killSignal: "SIGKILL"
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const said = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => pattern.test(stdout) && resolve(stdout)
      child.stdout.on("data", look)
      child.on("close", () => reject(new Error(`It never said ${pattern}: ${stdout}${stderr}`)))
      look()
    })
  return { child, ended, said }
}

/** How a program ended, in short. */
export interface Finished {
  readonly code: number | null
  readonly out: string
  readonly errors: string
}

/** How a program ends. */
export const finished = async ({ ended }: Running): Promise<Finished> => {
  const { code, stderr, stdout } = await ended
  return { code, out: stdout, errors: stderr }
}
