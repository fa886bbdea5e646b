/**
 * `pnpm bench`: what balancing costs. A report, not a test: it fails only when something breaks.
 *
 *     pnpm bench            two to three minutes
 *     pnpm bench --quick    about 20 seconds
 *     pnpm bench --json     the figures as JSON
 *     pnpm bench --only=calls,stubbed
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { wholeAnswers } from "./Calls.ts"
import { print, type Section } from "./Report.ts"
import { stubbed } from "./Stubbed.ts"

const options = new Set(process.argv.slice(2))
const isQuick = options.has("--quick")
const only = process.argv.find((option) => option.startsWith("--only="))?.slice("--only=".length).split(",")

const server = fork(new URL("./Server.ts", import.meta.url), { stdio: "inherit", execArgv: [] })
const [port] = await once(server, "message") as [number]
const endpoint = `http://127.0.0.1:${port}`

const suites: Readonly<Record<string, () => Promise<Section>>> = {
  calls: () => wholeAnswers(endpoint, "small", isQuick ? { rounds: 5, calls: 768, warmup: 2048 } : { rounds: 15, calls: 1024, warmup: 4096 }),
  stubbed: () => stubbed(1, isQuick ? { rounds: 5, calls: 4000, warmup: 8000 } : { rounds: 15, calls: 10_000, warmup: 20_000 }),
  stubbed64: () => stubbed(64, isQuick ? { rounds: 5, calls: 4000, warmup: 8000 } : { rounds: 15, calls: 10_000, warmup: 20_000 })
}

const sections: Array<Section> = []
for (const [name, run] of Object.entries(suites)) {
  if (only !== undefined && !only.includes(name)) continue
  const startedAt = performance.now()
  const section = await run()
  sections.push(section)
  print([section])
  console.error(name, ((performance.now() - startedAt) / 1000).toFixed(1), "s")
}
server.disconnect()
