/**
 * One contestant in a process of its own: does as many calls as it is told, and says what CPU time it has taken.
 */
import { ownCpu } from "./Measure.ts"

const [suite, endpoint, kind, name] = process.argv.slice(2) as [string, string, never, string]

// OpenTelemetry's own exporters read the process's variables
process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
const { door } = suite === "calls" ? await import("./Calls.ts") : await import("./Telemetry.ts")
const run = await door(endpoint, kind, name)
process.on("message", async (calls) => {
  await run(calls as number)
  process.send!(ownCpu())
})
process.on("disconnect", () => process.exit(0))
process.send!("ready")
