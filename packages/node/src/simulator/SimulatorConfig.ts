/**
 * What to simulate, as data: from a file, or from flags.
 *
 * **Example** (A file)
 *
 * ```yaml
 * pools:
 *   - { name: global, tpm: 30000, rpm: 180 }
 * resources:
 *   - name: east
 *     port: 5001
 *     deployments:
 *       - { name: gpt-4o, pool: global, latency: { baseMs: 400 } }
 *   - name: west
 *     port: 5002
 *     faults: [{ kind: status, status: 503, probability: 0.1 }]
 *     deployments:
 *       - { name: gpt-4o, pool: global }
 * ```
 */
import type { ConfigIssue } from "@evenkeel/core"
import {
  collect,
  ConfigValues as Value,
  decodeBy,
  type DecodeOptions,
  type Fields,
  listAt,
  type Report,
  suggest,
  uniqueNames
} from "@evenkeel/core/internal"
import { ErrorName, SimulatedFault, SimulatedPool, type SimulatedService } from "@evenkeel/core/simulation"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SimulatorOptions, SimulatorResourceOptions } from "./SimulatorServer.ts"

type DeploymentOptions = SimulatedService.SimulatedServiceOptions["deployments"][number]

/** A field for each option, so that none is forgotten. */
type FieldsOf<Options> = { readonly [Key in keyof Options]-?: Schema.Top }

const { optional } = Schema

const limits = {
  tpm: optional(Value.aboveZero),
  rpm: optional(Value.aboveZero),
  window: optional(Schema.Literals(["sliding", "fixed", "bucket"])),
  refusesTooLarge: optional(Schema.Boolean),
  phaseMs: optional(Value.notNegative),
  requestSliceMs: optional(Value.notNegative)
}

const pool = Schema.Struct(
  {
    name: Value.needed(Value.word("the name of a pool"), "give the pool a name, unique among the pools"),
    ...limits
  } satisfies FieldsOf<SimulatedPool.PoolOptions>
)

const latency = Schema.Struct(
  {
    baseMs: Schema.optionalKey(Value.notNegative),
    perPromptTokenMs: Schema.optionalKey(Value.notNegative),
    perOutputTokenMs: Schema.optionalKey(Value.notNegative),
    jitter: Schema.optionalKey(Value.notNegative),
    capacity: Schema.optionalKey(Value.aboveZero),
    tokensPerEvent: Schema.optionalKey(Value.count),
    errorMs: Schema.optionalKey(Value.notNegative)
  } satisfies FieldsOf<NonNullable<DeploymentOptions["latency"]>>
)

const faults = optional(Schema.Array(SimulatedFault))

const deployment = Schema.Struct(
  {
    name: Value.needed(Value.word("the deployment's name"), "give the deployment's name"),
    model: optional(Value.word("the name of a model")),
    ...limits,
    provisioned: optional(Schema.Boolean),
    burstMs: optional(Value.aboveZero),
    pool: optional(Value.word("the name of a pool")),
    contextTokens: optional(Value.count),
    defaultOutputCharge: optional(Value.notNegative),
    outputRatio: optional(Value.notNegative),
    latency: optional(latency),
    outputTokens: optional(Value.count),
    reasoningTokens: optional(Value.notNegative),
    charactersPerToken: optional(Value.aboveZero),
    cacheIdleMs: optional(Value.notNegative),
    billsCacheWrites: optional(Schema.Boolean),
    dimensions: optional(Value.count),
    tellsLimits: optional(Schema.Literals(["all", "refusals", "none"])),
    throttleBody: optional(ErrorName),
    asyncFilter: optional(Schema.Boolean),
    callsTools: optional(Schema.Boolean),
    faults,
    reply: optional(Schema.String)
  } satisfies FieldsOf<DeploymentOptions>
)

const resource = Schema.Struct(
  {
    name: Value.needed(
      Value.text("a name of letters, digits, `-` and `_`", /^[\w-]+$/),
      "give the resource a name, unique among the resources"
    ),
    provider: optional(Schema.Literals(["azure", "openai"])),
    port: optional(Value.port),
    apiKey: optional(Value.word("the key")),
    bearerTokens: optional(Schema.Array(Schema.String)),
    region: optional(Schema.String),
    cacheScope: optional(Schema.Literals(["deployment", "resource"])),
    cacheIdleMs: optional(Value.notNegative),
    maxCustomHeaders: optional(Value.notNegative),
    blockedPrompt: optional(Schema.String),
    blockedAnswer: optional(Schema.String),
    faults,
    deployments: Value.needed(Value.atLeastOne(deployment, "deployment"), "list at least one deployment")
  } satisfies FieldsOf<Omit<SimulatorResourceOptions, "origin">>
)

/**
 * Schema of what to simulate.
 */
export const SimulatorConfig = Schema.Struct({
  seed: optional(Schema.Int),
  pools: optional(Schema.Array(pool)),
  resources: Value.needed(Value.atLeastOne(resource, "resource"), "give a list with at least one resource")
}).annotate({ expected: "an object with at least `resources`" })

/** What relates one value to another. */
const between = (input: Fields, report: Report): void => {
  const pools = listAt(input, "pools") as ReadonlyArray<Fields>
  const names = pools.map((pool) => pool?.name).filter((name) => typeof name === "string")
  uniqueNames(pools, ["pools"], report)
  const resources = listAt(input, "resources") as ReadonlyArray<Fields>
  uniqueNames(resources, ["resources"], report)
  resources.forEach((resource, i) => {
    const { port } = resource ?? {}
    const first = resources.findIndex((other) => other?.port === port)
    if (port !== undefined && port !== 0 && first < i) {
      report.add(["resources", i, "port"], `is already that of resources[${first}]; give another, or 0 for any`)
    }
    const deployments = listAt(resource ?? {}, "deployments") as ReadonlyArray<Fields>
    uniqueNames(deployments, ["resources", i, "deployments"], report)
    deployments.forEach((deployment, j) => {
      const at = ["resources", i, "deployments", j]
      const { pool } = deployment ?? {}
      if (typeof pool !== "string") return
      if (!names.includes(pool)) {
        const meant = suggest(pool, names)
        report.add(
          [...at, "pool"],
          `is not the name of a pool; ${
            meant === undefined ? "list it in `pools`" : `did you mean ${JSON.stringify(meant)}?`
          }`
        )
      }
      for (const limit of Object.keys(limits)) {
        if (deployment[limit] !== undefined) report.add([...at, limit], "is its pool's; give it there")
      }
    })
  })
}

const decodeShape = decodeBy(SimulatorConfig, (context) => collect(context, between))

/**
 * Decodes what to simulate: the options of `startSimulator`, or every mistake.
 */
export const decode = (
  input: unknown,
  options?: DecodeOptions
): Result.Result<SimulatorOptions, ReadonlyArray<ConfigIssue>> =>
  Result.map(decodeShape(input, options), ({ pools = [], resources, seed }) => {
    const made = new Map(pools.map((options) => [options.name, SimulatedPool.make(options)]))
    return {
      seed,
      resources: resources.map((resource) => ({
        ...resource,
        deployments: resource.deployments.map(({ pool, reply, ...deployment }): DeploymentOptions => ({
          ...deployment,
          pool: pool === undefined ? undefined : made.get(pool),
          reply: reply === undefined ? undefined : () => reply
        }))
      }))
    }
  })
