/**
 * One contestant in a process of its own: does as many calls as it is told, and says what CPU time it has taken.
 */
import { ownCpu } from "./Measure.ts"
import type { Suite } from "./Pairs.ts"

const [suite, endpoint, kind, name] = process.argv.slice(2) as [Suite, string, never, string]

// OpenTelemetry's own exporters read the process's variables
process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
const suites = {
  calls: () => import("./Calls.ts"),
  streams: () => import("./Streams.ts"),
  stubbed: () => import("./Stubbed.ts"),
  telemetry: () => import("./Telemetry.ts")
}
const { door } = await suites[suite]()
const run = await door(endpoint, kind, name)
process.on("message", async (calls) => {
  await run(calls as number)
  process.send!(ownCpu())
})
process.on("disconnect", () => process.exit(0))
process.send!("ready")
