/**
 * The demo: six simulated deployments, callers that never stop, and three of the six in trouble.
 *
 *     npx -y pnpm@12.21.0 demo
 *
 * It needs no credentials and costs nothing. With credentials in the environment it asks your own deployments a few
 * times instead. Exit code 0 says that things really broke, and that no caller saw an error.
 *
 *     --seconds 20    how long
 *     --simulated     simulate, whatever is in the environment
 *     --outage        break all six at once: callers see errors, and the exit code says so
 *     --metrics 9464  serve a page for Prometheus at this port meanwhile
 */
import type { Event } from "@evenkeel/core"
import { createLoadBalancer, type Simulator } from "@evenkeel/node"
import { PrometheusServer } from "@evenkeel/otel"
import { Effect } from "effect"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { askForReal, credentialsIn } from "./demo/credentials.ts"
import { configOf, idOf, startFleet } from "./demo/fleet.ts"
import { Journal } from "./demo/journal.ts"
import { openScreen } from "./demo/screen.ts"
import { killed, slowed, threeFaults, throttled, totalOutage } from "./demo/script.ts"
import { show } from "./demo/show.ts"
import { renderTable } from "./demo/table.ts"
import { startTraffic } from "./demo/traffic.ts"
import { judge } from "./demo/verdict.ts"

const CALLS_A_SECOND = 24

const simulate = async (duration: number, isOutage: boolean, metricsPort: number | undefined): Promise<boolean> => {
  const metrics = metricsPort === undefined ? undefined : await PrometheusServer.start({ port: metricsPort })
  const simulator = await startFleet(duration)
  const lb = createLoadBalancer(configOf(simulator, duration), { warnings: false })
  const startedAt = Date.now()
  const journal = new Journal(startedAt, lb.snapshot().deployments.map(({ id }) => id))
  const reading = readEvents(lb.events(), journal)
  const traffic = startTraffic(lb, CALLS_A_SECOND)
  const { tally } = traffic
  const screen = openScreen(process.stdout, process.env)
  const showing = show(screen, () => ({
    elapsed: Date.now() - startedAt,
    duration,
    answered: tally.answered,
    errors: tally.failed,
    perSecond: journal.perSecond(Date.now()),
    snapshot: lb.snapshot(),
    firstToken: (id) => journal.recentFirstToken(id),
    log: journal.entries()
  }))
  try {
    const stage = { simulator, duration, note: (text: string) => journal.note(Date.now(), text) }
    const [moments] = await Promise.all([isOutage ? totalOutage(stage) : threeFaults(stage), sleep(duration)])
    await traffic.stop()
    showing.stop()
    const summary = {
      snapshot: lb.snapshot(),
      firstToken: (id: string) => journal.firstToken(id),
      movedOn: journal.movedOn,
      verdict: judge({
        tally,
        served: journal.served,
        movedOn: journal.movedOn,
        moments,
        broken: isOutage ? undefined : { killed: idOf(killed), throttled: idOf(throttled), slowed: idOf(slowed) },
        throttledAnswers: throttledAnswersOf(simulator)
      })
    }
    screen.print(renderTable(summary, screen.canvas()))
    return summary.verdict.every(({ holds }) => holds)
  } finally {
    showing.stop()
    await lb.close()
    await reading
    await simulator.close()
    await metrics?.close()
  }
}

const throttledAnswersOf = (simulator: Simulator): number => {
  const { deployments } = simulator.service(throttled).stats(Date.now())
  return Object.values(deployments).reduce((sum, { throttled }) => sum + throttled, 0)
}

const readEvents = async (events: AsyncIterable<Event>, journal: Journal): Promise<void> => {
  for await (const event of events) journal.take(event)
}

const options = {
  seconds: { type: "string", default: "20" },
  simulated: { type: "boolean", default: false },
  outage: { type: "boolean", default: false },
  metrics: { type: "string" }
} as const

const main = async (): Promise<boolean> => {
  const { metrics, outage, seconds, simulated } = parseArgs({ options }).values
  const credentials = credentialsIn(process.env)
  if (credentials.length > 0 && !simulated && !outage) {
    console.log(`Found ${credentials.join(", ")}: asking your own deployments. To simulate instead: --simulated\n`)
    return Effect.runPromise(askForReal)
  }
  const duration = Number(seconds) * 1_000
  if (!(duration >= 3_000 && duration <= 60_000)) throw new RangeError("--seconds takes a number from 3 to 60")
  const port = metrics === undefined ? undefined : Number(metrics)
  if (port !== undefined && !(port >= 0 && port <= 65_535)) throw new RangeError("--metrics takes a port")
  return simulate(duration, outage, port)
}

try {
  process.exitCode = await main() ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
