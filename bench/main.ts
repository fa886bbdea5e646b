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
import { choices } from "./Choice.ts"
import { memory } from "./Memory.ts"
import { print, type Section } from "./Report.ts"
import { firstTokens, streams } from "./Streams.ts"
import { stubbed } from "./Stubbed.ts"

const options = new Set(process.argv.slice(2))
const isQuick = options.has("--quick")
const only = process.argv.find((option) => option.startsWith("--only="))?.slice("--only=".length).split(",")

const server = fork(new URL("./Server.ts", import.meta.url), { stdio: "inherit", execArgv: [] })
const [port] = await once(server, "message") as [number]
const endpoint = `http://127.0.0.1:${port}`

/** Sizes of the quick run and of the full one. */
const size = <A>(quick: A, full: A): A => isQuick ? quick : full

const suites: Readonly<Record<string, () => Promise<Section> | Section>> = {
  calls: () =>
    wholeAnswers(
      endpoint,
      "small",
      size({ rounds: 3, calls: 768, warmup: 2048 }, { rounds: 15, calls: 1536, warmup: 6144 })
    ),
  long: () =>
    wholeAnswers(endpoint, "long", size({ rounds: 3, calls: 128, warmup: 128 }, { rounds: 9, calls: 256, warmup: 512 })),
  burst: () =>
    streams(endpoint, "burst", size({ rounds: 3, calls: 256, warmup: 512 }, { rounds: 9, calls: 512, warmup: 2048 })),
  streams: () => streams(endpoint, "paced", size({ rounds: 3, calls: 128, warmup: 128 }, { rounds: 9, calls: 256, warmup: 512 })),
  firstTokens: () => firstTokens(endpoint, size({ samples: 200, warmup: 100 }, { samples: 2000, warmup: 500 })),
  stubbed: () =>
    stubbed(1, size({ rounds: 3, calls: 3000, warmup: 6000 }, { rounds: 15, calls: 6000, warmup: 20_000 })),
  stubbed64: () =>
    stubbed(64, size({ rounds: 3, calls: 3000, warmup: 6000 }, { rounds: 15, calls: 6000, warmup: 20_000 })),
  choices: () => choices(size({ choices: 20_000, batches: 5 }, { choices: 100_000, batches: 15 })),
  memory: () =>
    memory(
      size(
        { blocks: 2, callsPerBlock: 20_000, sessionsPerBlock: 10_000 },
        { blocks: 10, callsPerBlock: 100_000, sessionsPerBlock: 20_000 }
      )
    )
}

const sections: Array<Section> = []
for (const [name, run] of Object.entries(suites)) {
  if (only !== undefined && !only.includes(name)) continue
  const startedAt = performance.now()
  const section = await run()
  sections.push(section)
  if (!options.has("--json")) print([section])
  console.error(name, ((performance.now() - startedAt) / 1000).toFixed(1), "s")
}
server.disconnect()
