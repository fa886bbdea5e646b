/**
 * `pnpm test:chaos`: callers without end, on real sockets, while everything goes wrong that can. Ends with 0 when all
 * held.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import { effectBalancer, promiseBalancer } from "./Balancers.ts"
import { Callers } from "./Callers.ts"
import { doors } from "./Doors.ts"
import { summaryOf } from "./Report.ts"
import * as Rest from "./Rest.ts"
import { ceilingOf, settingsOf } from "./Settings.ts"
import { Storm } from "./Storm.ts"
import { Tally } from "./Tally.ts"
import { tellShortfalls } from "./Verdict.ts"
import { startWorld } from "./World.ts"

const settings = settingsOf(process.env)
const { calls, rounds, seed, stormMillis } = settings
const began = performance.now()
const say = (what: string): void =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`)
say(`seed ${seed}, ${settings.seconds} s in ${rounds} rounds, ${calls} calls at a time`)

const tally = new Tally()
process.on("uncaughtException", (error) => tally.wrong(`uncaught: ${error.stack}`))
process.on("unhandledRejection", (error) => tally.wrong(`unhandled: ${String(error)}`))
// the official client says what it cannot read, which is counted here
console.error = () => {}
setTimeout(() => {
  console.log(`It did not end.\n${tally.verdict().join("\n")}`)
  process.exit(2)
}, ceilingOf(settings)).unref()

const world = await startWorld(seed)
const effect = await effectBalancer(world, tally.observe)
const promise = promiseBalancer(world, tally.observe)
const balancers = [effect, promise]
const callers = new Callers(doors({ effect, promise }), tally, seed, calls)
const storm = new Storm({ world, balancers, tally, random: SeededRandom.make(SeededRandom.hash("storm", seed)) })

const pauses = monitorEventLoopDelay({ resolution: 20 })
pauses.enable()
let mostConnections = 0
const gauge = setInterval(() => {
  mostConnections = Math.max(mostConnections, world.simulator.connections())
  tally.underWay.push(callers.underWay)
}, 100)

const heaps: Array<number> = []
const fibers: Array<number> = []
for (let round = 1; round <= rounds; round++) {
  const when = `after storm ${round}`
  callers.isCalm = false
  callers.start()
  await storm.rage(stormMillis)
  if (round === rounds) await storm.linger()
  await Rest.recovered(tally, balancers, world, when)
  callers.isCalm = true
  await sleep(600)
  await callers.stop()
  await Rest.nothingLeft(tally, balancers, world, when)
  await Rest.noFiberLeft(tally, effect, when)
  fibers.push(effect.fibers())
  heaps.push(await Rest.heapUsed())
  say(`${when}: ${tally.doors.total} calls, ${tally.whole.total} whole, ${tally.verdict().length} wrong`)
}

// closed while everything is under way
callers.isCalm = false
callers.start()
await sleep(1_500)
const stopped = callers.stop()
await Promise.all(balancers.map((balancer) => balancer.close()))
await stopped
clearInterval(gauge)
pauses.disable()
await Rest.noSocketLeft(tally, world)
await Rest.nothingLeft(tally, balancers, world, "after closing")
await Rest.noFiberLeft(tally, effect, "after closing", 0)
const connections = { most: mostConnections, left: world.simulator.connections() }
await world.simulator.close()
await Rest.nothingKept(tally)

const seconds = (performance.now() - began) / 1000
tellShortfalls(tally, settings, heaps)
console.log(`\n${summaryOf(settings, tally, { seconds, heaps, fibers, connections, pauses })}`)
process.exitCode = tally.verdict().length === 0 ? 0 : 1
