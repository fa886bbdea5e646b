// oxlint-disable no-await-in-loop -- suites must not disturb each other
/**
 * `pnpm bench`: what balancing costs. A report, not a test: it fails only when something breaks.
 *
 *     pnpm bench                       some minutes
 *     pnpm bench --quick               a minute
 *     pnpm bench --only=calls,choice   some of the suites
 *     pnpm bench --only=peers          other gateways beside ours: they are fetched first, so only when it is asked for
 *     pnpm bench --json                the figures as JSON
 */
import { startChild } from "./Child.ts"
import { print, type Section } from "./Report.ts"

const suites = [
  "calls",
  "stubbed1",
  "stubbed64",
  "choice",
  "paced",
  "burst",
  "first",
  "long",
  "telemetry",
  "telemetryStreams",
  "memory",
  "gateway"
]
/** What runs only when it is asked for. */
const named = [...suites, "peers"]

const options = process.argv.slice(2).filter((option) => option !== "--")
const isJson = options.includes("--json")
const only = options.find((option) => option.startsWith("--only="))?.slice("--only=".length).split(",")
const unknown = [
  ...options.filter((option) => !["--quick", "--json"].includes(option) && !option.startsWith("--only=")),
  ...(only ?? []).filter((name) => !named.includes(name))
]
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(", ")}. Options are --quick, --json and --only=${named.join(",")}`)
  process.exit(1)
}

const run = async (name: string): Promise<Section> => {
  const { first } = await startChild<Section>("./Suite.ts", [name, options.includes("--quick") ? "quick" : "full"])
  return first
}

const sections: Array<Section> = []
for (const name of only === undefined ? suites : named.filter((name) => only.includes(name))) {
  const section = await run(name)
  sections.push(section)
  if (!isJson) print(section)
}
if (isJson) console.log(JSON.stringify(sections, undefined, 2))
