import * as ConfigSource from "#node/ConfigSource"
import { Gateway } from "#node/gateway/Gateway"
import * as Reload from "#node/gateway/Reload"
import { layerDecoded } from "#node/LoadBalancerLive"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ask, chat, counters, deployment, keyed, open, until, written } from "../../support/Edge.ts"
import { folder, replace, serve } from "../../support/Process.ts"
import { slow } from "../../support/Served.ts"

const json = { "content-type": "application/json" }

/** A gateway whose configuration is in a file that is watched, in this process. */
const watched = async (
  { gateway = {}, names = ["east"], own = {}, place = (folder: string) => join(folder, "evenkeel.json") }: {
    readonly gateway?: object
    readonly names?: ReadonlyArray<string>
    readonly own?: object
    readonly place?: (folder: string) => string
  } = {}
) => {
  const simulator = await startSimulator({
    resources: ["east", "west"].map((name) => ({ name, deployments: [{ ...deployment, ...own }] }))
  })
  const home = folder()
  const file = place(home.path)
  const text = (changes: object = {}, used = names) =>
    JSON.stringify({
      resources: simulator.resources.filter(({ name }) => used.includes(name)).map((resource) => resource.config()),
      health: { check: { kind: "none" } },
      gateway: { port: 0, ...gateway, ...changes }
    })
  writeFileSync(file, text())
  const logged: Array<string> = []
  const logger = Logger.make(({ message }) => {
    logged.push(String(message))
  })
  const read = ConfigSource.loadFrom({ EVENKEEL_CONFIG: file })
  const config = await Effect.runPromise(read)
  const scope = Effect.runSync(Scope.make())
  const layer = Gateway.layer(config.gateway).pipe(
    Layer.provideMerge(layerDecoded(config)),
    Layer.provideMerge(Logger.layer([logger]))
  )
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const fiber = Effect.runForkWith(context)(Reload.watch(config, read, file))
  const { url } = Context.get(context, Gateway)
  return {
    simulator,
    folder: home.path,
    file,
    text,
    port: Number(new URL(url).port),
    /** Until the log has so many lines with this in it. */
    logs: (part: string, times = 1) =>
      until(() => logged.filter((line) => line.includes(part)).length >= times, `"${part}" is not logged`),
    logged,
    sends: (name: string) => simulator.service(name).stats(Date.now()).requests,
    [Symbol.asyncDispose]: async () => {
      await Effect.runPromise(Fiber.interrupt(fiber))
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await simulator.close()
      home[Symbol.dispose]()
    }
  }
}

const readAgain = "The configuration was read again"

describe("a configuration that changed", () => {
  it("is taken over under load, and nothing is lost", async () => {
    await using gateway = await watched({ names: ["east"], own: { latency: { ...slow, perOutputTokenMs: 2 } } })
    const over = new AbortController()
    const wrong: Array<string> = []
    const client = async (stream: boolean) => {
      while (!over.signal.aborted) {
        const { body, status } = await ask(gateway, { body: chat({ stream }), headers: json })
        const isWhole = !stream || body.toString().endsWith("data: [DONE]\n\n")
        if (status !== 200 || !isWhole) wrong.push(`${status} ${body.toString()}`)
      }
    }
    const clients = Array.from({ length: 12 }, (_, i) => client(i % 2 === 0))
    const steps = [["east", "west"], ["west"], ["east", "west"], ["east"]]
    for (const [i, names] of steps.entries()) {
      replace(gateway.file, gateway.text({}, names))
      await gateway.logs(readAgain, i + 1)
      const before = names.map((name) => gateway.sends(name))
      await until(() => names.every((name, at) => gateway.sends(name) > before[at]! + 3), "Each takes its share")
    }
    over.abort()
    await Promise.all(clients)
    assert.deepStrictEqual(wrong, [])
    const { requests } = await counters(gateway)
    assert.strictEqual(requests, 0)
    for (const name of ["east", "west"]) {
      assert.strictEqual(gateway.simulator.service(name).stats(Date.now()).abandoned, 0)
    }
  })

  it("lets streams end whose deployment, or whose key, is gone", async () => {
    const keys = [keyed("a"), keyed("op", { operator: true })]
    await using gateway = await watched({
      gateway: { keys },
      names: ["east", "west"],
      own: { latency: { ...slow, perOutputTokenMs: 60 }, reply: () => "word ".repeat(60) }
    })
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true }), { headers: ["api-key: secret-of-a", "connection: close"] }))
    const [, of] = /x-evenkeel-deployment: (\w+)/.exec(await stream.has("data: "))!
    replace(
      gateway.file,
      gateway.text({ keys: [keyed("b"), keyed("op", { operator: true })] }, [of === "east" ? "west" : "east"])
    )
    await gateway.logs(readAgain)
    const as = (name: string) =>
      ask(gateway, { body: chat({ max_tokens: 1 }), headers: { ...json, "api-key": `secret-of-${name}` } })
    assert.strictEqual((await as("a")).status, 401)
    assert.strictEqual((await as("b")).headers["x-evenkeel-deployment"], `${of === "east" ? "west" : "east"}/gpt`)
    assert.include(await stream.ended(), "data: [DONE]")
    const { requests, streams } = await counters(gateway, "secret-of-op")
    assert.deepStrictEqual([requests, streams], [0, 0])
  })

  it("keeps what the holder of a key has used, whose key is another", async () => {
    await using gateway = await watched({ gateway: { keys: [keyed("a", { rpm: 2 })] } })
    const as = (key: string) => ask(gateway, { body: chat(), headers: { ...json, "api-key": key } })
    assert.strictEqual((await as("secret-of-a")).status, 200)
    assert.strictEqual((await as("secret-of-a")).status, 200)
    replace(gateway.file, gateway.text({ keys: [{ ...keyed("another", { rpm: 2 }), name: "a" }] }))
    await gateway.logs(readAgain)
    assert.strictEqual((await as("secret-of-a")).status, 401)
    assert.strictEqual((await as("secret-of-another")).status, 429)
    replace(gateway.file, gateway.text({ keys: [{ ...keyed("another", { rpm: 20 }), name: "a" }] }))
    await gateway.logs(readAgain, 2)
    assert.strictEqual((await as("secret-of-another")).status, 200)
  })

  it("takes over limits, and names what needs a restart", async () => {
    await using gateway = await watched()
    const large = chat({ messages: [{ role: "user", content: "x".repeat(1000) }] })
    assert.strictEqual((await ask(gateway, { body: large, headers: json })).status, 200)
    replace(gateway.file, gateway.text({ maxBody: 500, port: 1, keepAlive: 5000 }))
    await gateway.logs(`${readAgain}; gateway.port, gateway.keepAlive need a restart`)
    assert.strictEqual((await ask(gateway, { body: large, headers: json })).status, 413)
    // for as long as it is so
    replace(gateway.file, gateway.text({ maxBody: 600, port: 1, keepAlive: 5000 }))
    await gateway.logs(`${readAgain}; gateway.port, gateway.keepAlive need a restart`, 2)
    assert.strictEqual((await ask(gateway, { body: chat(), headers: json })).status, 200)
  })

  it("that is wrong is refused with all of its mistakes, and the one in use stays", async () => {
    await using gateway = await watched({ gateway: { keys: [keyed("a")] } })
    const as = () => ask(gateway, { body: chat(), headers: { ...json, "api-key": "secret-of-a" } })
    replace(gateway.file, gateway.text({ maxBody: -1, keys: [{ name: "z" }], nonsense: 1 }))
    await gateway.logs("The configuration in use stays")
    const message = gateway.logged.at(-1)!
    for (const part of ["gateway.maxBody", "gateway.keys[0]", "gateway.nonsense"]) assert.include(message, part)
    assert.strictEqual((await as()).status, 200)
    writeFileSync(gateway.file, "{")
    await gateway.logs("The configuration in use stays", 2)
    assert.strictEqual((await as()).status, 200)
    replace(gateway.file, gateway.text({ keys: [keyed("b")] }))
    await gateway.logs(readAgain)
    assert.strictEqual((await as()).status, 401)
  })

  it("is found where Kubernetes switches a link to the folder that it is in", async () => {
    await using gateway = await watched({
      place: (folder) => {
        mkdirSync(join(folder, "..one"))
        symlinkSync("..one", join(folder, "..data"))
        symlinkSync(join("..data", "evenkeel.json"), join(folder, "evenkeel.json"))
        return join(folder, "evenkeel.json")
      }
    })
    const at = (name: string) => join(gateway.folder, name)
    mkdirSync(at("..two"))
    writeFileSync(at("..two/evenkeel.json"), gateway.text({}, ["west"]))
    symlinkSync("..two", at("..data_tmp"))
    renameSync(at("..data_tmp"), at("..data"))
    rmSync(at("..one"), { recursive: true })
    await gateway.logs(readAgain)
    const { headers } = await ask(gateway, { body: chat(), headers: json })
    assert.strictEqual(headers["x-evenkeel-deployment"], "west/gpt")
  })

  it("may be gone for a while", async () => {
    await using gateway = await watched()
    rmSync(gateway.file)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    assert.strictEqual((await ask(gateway, { body: chat(), headers: json })).status, 200)
    writeFileSync(gateway.file, gateway.text({}, ["west"]))
    await gateway.logs(readAgain)
    assert.notInclude(gateway.logged.join("\n"), "is not valid")
    const { headers } = await ask(gateway, { body: chat(), headers: json })
    assert.strictEqual(headers["x-evenkeel-deployment"], "west/gpt")
  })
})

describe("the process", { concurrent: false, timeout: 90_000 }, () => {
  it("reads its configuration again on SIGHUP, and on change, and goes on", async () => {
    await using gateway = await serve({ keys: [keyed("a")] }, { latency: slow, reply: () => "word ".repeat(100) })
    using stream = await open(gateway.port)
    stream.socket.write(written(chat({ stream: true }), { headers: ["api-key: secret-of-a", "connection: close"] }))
    await stream.has("data: ")
    gateway.child.kill("SIGHUP")
    await gateway.said(/read again\./)
    writeFileSync(gateway.file, gateway.text({ keys: [keyed("b")] }))
    await gateway.said(/read again\..*read again\./s)
    const as = (name: string) =>
      ask(gateway, { body: chat({ max_tokens: 1 }), headers: { ...json, "api-key": `secret-of-${name}` } })
    assert.deepStrictEqual([(await as("a")).status, (await as("b")).status], [401, 200])
    assert.include(await stream.ended(), "data: [DONE]")
    gateway.child.kill("SIGTERM")
    assert.strictEqual((await gateway.ended).code, 0)
  })
})
