import { assert, describe, it } from "@effect/vitest"
import type { ConfigInput } from "@evenkeel/core"
import { ask, chat, edge, keyed, until } from "../../support/Edge.ts"
import { type Gated, gated } from "../../support/Gated.ts"
import * as PlainServer from "../../support/PlainServer.ts"
import { fast } from "../../support/Served.ts"

const deployments = [{ name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello." }]
const [east, west] = [{ name: "east", deployments }, { name: "west", deployments }]

const readiness = async (gateway: Pick<Gated, "port">, headers = {}) => {
  const { body, status } = await ask(gateway, { path: "/readyz", headers })
  return [status, JSON.parse(body.toString())]
}

const isReady = async (gateway: Pick<Gated, "port">) => (await readiness(gateway))[0] === 200

const ready = [200, { status: "ready", draining: false, unready: [] }]

const unready = (deployments: Readonly<Record<string, string>>) => [
  503,
  { status: "not ready", draining: false, unready: [{ model: "gpt-4o", deployments }] }
]

const wrongKey = (resource: ConfigInput["resources"][number]) => ({ ...resource, apiKey: "wrong" })

describe("/readyz at the start", () => {
  it("says no until the resources were looked at, and tells operators alone why", async () => {
    const looked = Promise.withResolvers<void>()
    await using service = await PlainServer.listen(async (_request, response) => {
      await looked.promise
      PlainServer.json(response, { data: [] })
    })
    const resources = [{
      name: "plain",
      provider: "compatible" as const,
      endpoint: `${service.url}/v1`,
      deployments: [{ name: "gpt-4o" }]
    }]
    const keys = [keyed("a"), keyed("op", { operator: true })]
    await using gateway = await edge({ keys }, {}, { resources, health: {} })
    const asOperator = () => readiness(gateway, { "api-key": "secret-of-op" })
    assert.deepStrictEqual(await asOperator(), unready({ "plain/gpt-4o": "not checked yet" }))
    assert.deepStrictEqual(await readiness(gateway, { "api-key": "secret-of-a" }), [503, { status: "not ready" }])
    assert.deepStrictEqual(await readiness(gateway), [503, { status: "not ready" }])
    looked.resolve()
    await until(() => isReady(gateway))
    assert.deepStrictEqual(await asOperator(), ready)
  })

  it("says no while every resource of a model has a wrong key, until one has answered", async () => {
    await using gateway = await gated([east, west], {}, undefined, wrongKey)
    const both = unready({ "east/gpt": "http 401", "west/gpt": "http 401" })
    await until(async () => JSON.stringify(await readiness(gateway)) === JSON.stringify(both))
    gateway.simulator.service("east").setCredentials({ apiKey: "wrong" })
    assert.deepStrictEqual(await readiness(gateway), both)
    const headers = { "content-type": "application/json" }
    await until(async () => (await ask(gateway, { body: chat(), headers })).status === 200)
    assert.deepStrictEqual(await readiness(gateway), ready)
  })

  it("says yes once a check has found that a resource is well after all", async () => {
    await using gateway = await gated([east], { health: { check: { interval: 50 } } }, undefined, wrongKey)
    await until(async () => !(await isReady(gateway)))
    gateway.simulator.service("east").setCredentials({ apiKey: "wrong" })
    await until(() => isReady(gateway))
  })

  it("says yes where one resource of each model is well", async () => {
    await using gateway = await gated(
      [east, west],
      {},
      undefined,
      (resource) => resource.name === "west" ? wrongKey(resource) : resource
    )
    await until(() => isReady(gateway))
  })

  for (const kind of ["none", "completion"] as const) {
    it(`says yes at once where no free check is made: ${kind}`, async () => {
      await using gateway = await gated([east], { health: { check: { kind } } }, undefined, wrongKey)
      assert.deepStrictEqual(await readiness(gateway), ready)
      assert.strictEqual(gateway.simulator.service("east").stats(Date.now()).requests, 0)
    })
  }
})
