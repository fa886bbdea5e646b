/**
 * A program of its own, in a process of its own: for what an environment variable does, and for how a process ends.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Ended {
  readonly code: number | null
  /** The signal that ended it: `SIGKILL` when it did not end in time. */
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program of `test/support/children` to its end, for at most 15 seconds. */
export const runChild = (
  name: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const program = fileURLToPath(new URL(`./children/${name}.ts`, import.meta.url))
    const child = spawn(process.execPath, [program, ...args], {
      // nothing of the developer's own environment
      env: { PATH: process.env["PATH"] ?? "", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 15_000,
      killSignal: "SIGKILL"
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text)
    child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text)
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
