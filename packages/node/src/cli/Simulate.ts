/**
 * `evenkeel simulate`: the simulated service behind real sockets, for tests in any language.
 */
import type { ConfigIssue } from "@evenkeel/core"
import { Yaml } from "@evenkeel/core/internal"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as ConfigSource from "../ConfigSource.ts"
import * as SimulatorConfig from "../simulator/SimulatorConfig.ts"
import { examples } from "../simulator/SimulatorControl.ts"
import { type Simulator, type SimulatorOptions, startSimulator } from "../simulator/SimulatorServer.ts"
import { untilStopped } from "./Exit.ts"
import { table } from "./Table.ts"

/** What it is given. */
export interface SimulateInput {
  readonly file: Option.Option<string>
  readonly deployments: Option.Option<string>
  readonly resources: Option.Option<number>
  readonly port: Option.Option<number>
  readonly tpm: Option.Option<number>
  readonly rpm: Option.Option<number>
  readonly printConfig: boolean
}

/** It cannot listen where it is to. */
class ListenError extends Data.TaggedError("ListenError")<{ readonly port: number; readonly code: string }> {
  override get message(): string {
    return `Nothing can listen at 127.0.0.1:${this.port} (${this.code}): give another port, or 0 for any that is free.`
  }
}

/** Simulates until it is told to stop: SIGTERM or SIGINT. */
export const run = Effect.fnUntraced(
  function*(input: SimulateInput) {
    const options = yield* Effect.fromResult(optionsOf(input))
    const simulator = yield* Effect.acquireDisposable(Effect.tryPromise({
      try: () => startSimulator(options),
      catch: (cause) => {
        const { code = "unknown", port = 0 } = cause as { readonly port?: number; readonly code?: string }
        return new ListenError({ code, port })
      }
    }))
    if (input.printConfig) {
      yield* Console.log(configOf(simulator.resources))
      yield* Console.error("The simulated service listens, until it is told to stop.")
    } else yield* Console.log(render(simulator.resources))
    return yield* Effect.never
  },
  Effect.scoped,
  untilStopped
)

const failed = (issues: ReadonlyArray<ConfigIssue>) =>
  new ConfigSource.ConfigSourceError({ source: "the command line", issues })

/** What to simulate: as the file says, else the flags. */
export const optionsOf = (
  { deployments, file, port, resources, rpm, tpm }: SimulateInput
): Result.Result<SimulatorOptions, ConfigSource.ConfigSourceError> => {
  const issues: Array<ConfigIssue> = []
  if (Option.isSome(file)) {
    for (const [name, value] of Object.entries({ deployments, resources, port, tpm, rpm })) {
      if (value._tag === "Some") issues.push({ path: `--${name}`, message: "is said by the file; leave it out" })
    }
    return issues.length > 0
      ? Result.fail(failed(issues))
      : ConfigSource.readFile(file.value, process.env, SimulatorConfig.decode)
  }
  const list = Option.getOrElse(deployments, () => "gpt-4o")
  const named = ConfigSource.readDeployments(list, "--deployments", issues)
  if (issues.length > 0) return Result.fail(failed(issues))
  const limited = named.map(({ model, name }) => ({
    name,
    model,
    tpm: Option.getOrUndefined(tpm),
    rpm: Option.getOrUndefined(rpm)
  }))
  const first = Option.getOrElse(port, () => 5001)
  return Result.mapError(
    SimulatorConfig.decode({
      resources: Array.from({ length: Option.getOrElse(resources, () => 1) }, (_, i) => ({
        name: `sim-${i + 1}`,
        port: first === 0 ? 0 : first + i,
        deployments: limited
      }))
    }),
    failed
  )
}

/** How Evenkeel is configured for it. */
const configOf = (resources: Simulator["resources"]): string =>
  // what the simulator makes is plain data
  Yaml.stringify({ resources: resources.map((resource) => resource.config() as unknown as Yaml.Value) }).trimEnd()

/** Where it is, how it is used and how it is changed. */
const render = (resources: Simulator["resources"]): string => {
  const rows = resources.map(({ apiKey, baseUrl, deployments }) => [baseUrl, apiKey, deployments.join(", ")])
  return [
    "The simulated service listens, until it is told to stop (Ctrl-C).",
    "",
    ...table([["BASE URL", "KEY", "DEPLOYMENTS"], ...rows], Infinity),
    "",
    "Configuration of Evenkeel, which --print-config prints alone:",
    "",
    configOf(resources),
    "",
    "To ask a resource, to look at it and to change it:",
    "",
    ...examples(resources[0]!).map(({ curl, what }) => `# ${what}\n${curl}`)
  ].join("\n")
}
