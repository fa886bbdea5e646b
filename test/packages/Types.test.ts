import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { evenkeelConfig, startTwo, variables } from "../examples/support.ts"
import { startCollector } from "../support/Collector.ts"
import { greeting, makeProject, npmInstall, programOf, type Project } from "./support/Project.ts"
import { root } from "./support/Run.ts"

/** Every door, by its types, with nothing that is optional. */
const doors = `
import * as Core from "@evenkeel/core"
import * as Errors from "@evenkeel/core/Errors"
import * as Internal from "@evenkeel/core/internal"
import * as Simulation from "@evenkeel/core/simulation"
import * as Node from "@evenkeel/node"
import { createLoadBalancer, LoadBalancerError, type ConfigInput } from "@evenkeel/node"
import * as Promises from "@evenkeel/node/promises"
import * as Otel from "@evenkeel/otel"
import { OtelLive } from "@evenkeel/otel/OtelLive"

const config: ConfigInput = { resources: [] }
const lb = createLoadBalancer(config, { instrumentation: Otel.OtlpLive })
export const answer: string = await lb.openai.models.retrieve("gpt-4o").then(({ id }) => id)
// @ts-expect-error -- it is no any
export const never: number = await lb.openai.models.retrieve("gpt-4o").then(({ id }) => id)
export const same: Node.LoadBalancerClient = Promises.createLoadBalancer(config, { warnings: false })
// @ts-expect-error -- it takes no layer
export const other = Promises.createLoadBalancer(config, { instrumentation: Otel.OtlpLive })
export { Core, Errors, Internal, LoadBalancerError, Node, OtelLive, Promises, Simulation }
`

const commonJs = `
import { createLoadBalancer } from "@evenkeel/node"

export const lb = createLoadBalancer({ resources: [] })
`

const settings = {
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    module: "nodenext",
    target: "es2022",
    types: ["node"],
    noEmit: true
  }
}

describe("what is installed from the tarballs", () => {
  let project: Project

  beforeAll(async () => {
    project = await makeProject({
      "tsconfig.json": JSON.stringify(settings),
      "doors.mts": doors,
      "common.cts": commonJs,
      "core.mts": await programOf("core"),
      "node.mts": await programOf("node"),
      "otel.mts": await programOf("otel")
    })
    await npmInstall(project, "@evenkeel/node", "@evenkeel/core", "@evenkeel/otel", "@types/node@24")
  })

  afterAll(() => project[Symbol.asyncDispose]())

  it("has types that need nothing else, and no `skipLibCheck`", async () => {
    const { code, out } = await project.run(join(root, "node_modules/.bin/tsc"), [])
    assert.deepStrictEqual([code, out], [0, ""])
  })

  it("runs the program in the README of @evenkeel/core", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await project.run(process.execPath, ["core.mts"], variables(simulator))
    assert.match(out, greeting)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("runs the program in the README of @evenkeel/otel", async () => {
    await using simulator = await startTwo()
    await using collector = await startCollector()
    const { code, errors, out } = await project.run(process.execPath, ["otel.mts"], {
      ...evenkeelConfig(simulator),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url
    })
    assert.match(out, greeting)
    assert.deepStrictEqual([code, errors], [0, ""])
    assert.include((await collector.find(({ path }) => path === "/v1/traces")).text, "chat gpt-4o")
  })

  it("says by its command what it can do", async () => {
    assert.include(await project.must("npx", "evenkeel-otel", "rules"), "alert:")
  })
})
