/**
 * `pnpm simulate`: the quality of the balance, beside plain models of known policies on the same traffic. A report, not a
 * test: `test/simulation/*.test.ts` hold what must hold.
 *
 *     pnpm simulate                     some minutes
 *     pnpm simulate --quick             a third of the time each
 *     pnpm simulate --only=slow,fleet   some of the scenarios
 *     pnpm simulate --seed=7            other traffic
 *     pnpm simulate --json              the figures as JSON
 */
import { evenkeel, evenkeelFleet } from "./Evenkeel.ts"
import { figuresOf } from "./Figures.ts"
import { plainContenders } from "./PlainClient.ts"
import { type Results, table } from "./Report.ts"
import { play } from "./Run.ts"
import { shortened } from "./Scenario.ts"
import { scenarios } from "./Scenarios.ts"

const options = process.argv.slice(2).filter((option) => option !== "--")
const valueOf = (name: string): string | undefined =>
  options.find((option) => option.startsWith(`--${name}=`))?.slice(name.length + 3)
const only = valueOf("only")?.split(",")
const seed = Number(valueOf("seed") ?? 1)
const isJson = options.includes("--json")
const isQuick = options.includes("--quick")
const known = scenarios.map(({ name }) => name)
const unknown = [
  ...options.filter((option) => !/^--(?:quick|json|only=.+|seed=\d+)$/.test(option)),
  ...(only ?? []).filter((name) => !known.includes(name))
]
if (unknown.length > 0) {
  console.error(`Unknown: ${unknown.join(", ")}. Options are --quick, --json, --seed=n and --only=${known.join(",")}`)
  process.exit(1)
}

const all: Array<Results> = []
for (const full of scenarios) {
  if (only !== undefined && !only.includes(full.name)) continue
  const scenario = isQuick ? shortened(full, 1 / 3) : full
  const figures: Record<string, Results["figures"][string]> = {}
  const began = performance.now()
  const own = scenario.balancers > 1 ? [evenkeel, evenkeelFleet] : [evenkeel]
  for (const contender of [...own, ...plainContenders]) {
    figures[contender.name] = figuresOf(await play(scenario, contender, seed))
  }
  all.push({ scenario, figures })
  if (isJson) continue
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(`${table(all.at(-1)!, own.at(-1)!.name)}\n(${figures[evenkeel.name]!.requests} requests, ${seconds} s)\n`)
}
if (isJson) {
  const named = all.map(({ figures, scenario: { name } }) => ({ name, seed, figures }))
  // JSON has no word for it
  console.log(JSON.stringify(named, (_, value: unknown) => value === Infinity ? "never" : value, 2))
} else {
  console.log("* worse than the best of all by more than 5 % and by more than what means nothing")
}
