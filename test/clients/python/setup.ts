/**
 * Whether there is a curl, and a Python with the clients of `requirements.txt`, in a temporary folder. Where there is
 * none, or they cannot be fetched, it says so, and that is no failure. `EVENKEEL_PYTHON` names one that has them.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"

declare module "vitest" {
  interface ProvidedContext {
    /** Command of a Python that has the clients, or nothing. */
    readonly python: string
    /** Whether there is a curl. */
    readonly curl: boolean
  }
}

const folder = fileURLToPath(new URL(".", import.meta.url))

/** How pip, or `venv`, says that something cannot be had here, rather than that we ask for something wrong. */
const missing = /Could not find a version|No matching distribution|ensurepip|[Cc]onnection|[Tt]imed? ?out|resolve host/

const make = (environment: string): string => {
  const base = ["python3", "python"].find((name) =>
    spawnSync(name, ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).status === 0
  )
  if (base === undefined) return skipped("there is no Python of 3.11 or later")
  const python = join(environment, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")
  const steps: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    [base, ["-m", "venv", environment]],
    [python, "-m pip install --disable-pip-version-check -q -r requirements.txt -c constraints.txt".split(" ")]
  ]
  for (const [command, args] of steps) {
    const { status, stderr, stdout } = spawnSync(command, args, { cwd: folder, encoding: "utf8" })
    if (status === 0) continue
    const said = `${stdout}${stderr}`.trim()
    if (missing.test(said)) return skipped(said.split("\n").at(-1)!)
    throw new Error(`The clients for Python cannot be installed.\n${said}`)
  }
  return python
}

const skipped = (why: string): string => {
  console.log(`SKIPPED: no client for Python was tested: ${why}.`)
  return ""
}

export default (project: TestProject): () => void => {
  const hasCurl = spawnSync("curl", ["--version"]).status === 0
  if (!hasCurl) console.log("SKIPPED: curl was not tested: there is none.")
  project.provide("curl", hasCurl)
  const given = process.env["EVENKEEL_PYTHON"]
  const environment = mkdtempSync(join(tmpdir(), "evenkeel-python-"))
  const remove = () => rmSync(environment, { recursive: true, force: true })
  try {
    project.provide("python", given ?? make(environment))
  } catch (error) {
    remove()
    throw error
  }
  return remove
}
