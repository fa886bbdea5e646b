/**
 * Prometheus' own tools, where they are installed: `prometheus` and `promtool` of the Debian package `prometheus`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Whether a program can be run; where it cannot, the console says so aloud. */
export const isInstalled = (program: "prometheus" | "promtool"): boolean => {
  const { error, status } = spawnSync(program, ["--version"], { timeout: 10_000, stdio: "ignore" })
  const found = error === undefined && status === 0
  if (!found) console.warn(`SKIPPED: no ${program} here. Install it to run these tests: apt-get install prometheus`)
  return found
}

/** The name of a test, which says why it is skipped where it is. */
export const named = (name: string, isThere: boolean, program: string): string =>
  isThere ? name : `${name} (skipped: no ${program} here)`

/** A folder for files that a program reads, until it is disposed of. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "evenkeel-prometheus-"))

  /** Writes a file, and gives its path. */
  write(name: string, text: string): string {
    const file = join(this.path, name)
    writeFileSync(file, text)
    return file
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Runs promtool to its end, and gives all that it said. */
export const promtool = (
  args: ReadonlyArray<string>,
  input = ""
): { readonly status: number; readonly said: string } => {
  const { status, stderr, stdout } = spawnSync("promtool", args, { input, encoding: "utf8", timeout: 20_000 })
  return { status: status ?? -1, said: `${stdout}${stderr}` }
}

/** A series of an instant query's answer. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [at: number, value: string]
}

/** A Prometheus of a test's own. */
export interface Prometheus extends AsyncDisposable {
  readonly query: (expression: string) => Promise<ReadonlyArray<Sample>>
}

/** Starts Prometheus on a free port of loopback; it scrapes a page there once a second. */
export const startPrometheus = async (page: URL): Promise<Prometheus> => {
  const folder = new Folder()
  const config = folder.write(
    "prometheus.json",
    JSON.stringify({
      global: { scrape_interval: "1s", scrape_timeout: "1s" },
      scrape_configs: [{ job_name: "tour", metrics_path: page.pathname, static_configs: [{ targets: [page.host] }] }]
    })
  )
  const child = spawn("prometheus", [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder.path, "data")}`,
    "--web.listen-address=127.0.0.1:0"
  ], { stdio: ["ignore", "ignore", "pipe"] })
  // a worker that is ended by force takes it along
  const kill = () => child.kill("SIGKILL")
  process.once("exit", kill)
  const end = async () => {
    await ended(child)
    process.off("exit", kill)
    folder[Symbol.dispose]()
  }
  try {
    const address = await listening(child)
    return {
      query: async (expression) => {
        const url = `http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`
        const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
        const answer = await response.json() as {
          readonly status: string
          readonly error?: string
          readonly data?: { readonly result: ReadonlyArray<Sample> }
        }
        if (answer.status !== "success") throw new Error(`${answer.error} in ${expression}`)
        return answer.data!.result
      },
      [Symbol.asyncDispose]: end
    }
  } catch (cause) {
    await end()
    throw cause
  }
}

/** The address that it chose, from its log, when it is ready. */
const listening = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let log = ""
    const limit = setTimeout(() => reject(new Error(`prometheus does not listen:\n${log}`)), 10_000)
    child.on("error", reject)
    child.on("exit", () => reject(new Error(`prometheus ended:\n${log}`)))
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      log += text
      const address = /msg="Listening on" address=(\S+)/.exec(log)?.[1]
      if (address === undefined || !log.includes("ready to receive web requests")) return
      clearTimeout(limit)
      resolve(address)
    })
  })

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resolve()
    const limit = setTimeout(() => child.kill("SIGKILL"), 3_000)
    child.on("exit", () => {
      clearTimeout(limit)
      resolve()
    })
    child.kill("SIGTERM")
  })
