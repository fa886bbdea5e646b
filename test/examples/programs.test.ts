import { assert, describe, it } from "@effect/vitest"
import { readdir, readFile } from "node:fs/promises"
import { startCollector } from "../support/Collector.ts"
import { evenkeelConfig, run, startTwo, variables } from "./support.ts"

/** One after the other: each takes a core while it starts. */
const limit = { timeout: 35_000, concurrent: false }
const folder = new URL("../../examples/", import.meta.url)

describe("an example", limit, () => {
  it("is short, and there is a test of it here", async () => {
    const tests = await readFile(new URL(import.meta.url), "utf8")
    const programs = (await readdir(folder)).filter((name) => name.endsWith(".ts") && name !== "demo.ts")
    assert.isAtLeast(programs.length, 9)
    for (const name of programs) {
      const text = await readFile(new URL(name, folder), "utf8")
      assert.isBelow(text.split("\n").length, 60, name)
      if (name !== "config.ts") assert.include(tests, `run("${name}"`)
    }
  })

  it("is what the README shows", async () => {
    const readme = await readFile(new URL("../README.md", folder), "utf8")
    const shown = Array.from(readme.matchAll(/^```ts\n(.*?)^```/gms), ([, code]) => code)
    for (const name of ["first-promise.ts", "first-effect.ts"]) {
      assert.include(shown, await readFile(new URL(name, folder), "utf8"), name)
    }
  })
})

describe("the first program", limit, () => {
  it("prints an answer, with promises", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await run("first-promise.ts", variables(simulator))
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("prints an answer though a deployment is down", async () => {
    await using simulator = await startTwo()
    await simulator.down("eastus")
    const { code, out } = await run("first-promise.ts", variables(simulator))
    assert.deepStrictEqual([code, out], [0, "Hello from sweden.\n"])
  })

  it("names what is missing where nothing is configured", async () => {
    const { code, errors } = await run("first-promise.ts")
    assert.strictEqual(code, 1)
    assert.include(errors, "resources[0].endpoint")
    assert.include(errors, "resources[1].apiKey")
  })

  it("prints an answer and a stream, with Effect and EVENKEEL_CONFIG", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await run("first-effect.ts", evenkeelConfig(simulator))
    const [answer, ...chunks] = out.split("\n")
    assert.match(answer!, /^Hello from (eastus|sweden)\.$/)
    assert.match(chunks.join(""), /^Hello from (eastus|sweden)\.$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("prints an answer, with Effect and the variables of Azure OpenAI", async () => {
    await using simulator = await startTwo()
    const { apiKey, url } = simulator.resources[0]!
    const { code, out } = await run("first-effect.ts", {
      AZURE_OPENAI_ENDPOINT: url,
      AZURE_OPENAI_API_KEY: apiKey,
      AZURE_OPENAI_DEPLOYMENTS: "gpt-4o"
    })
    assert.match(out, /^Hello from eastus\.\n/)
    assert.strictEqual(code, 0)
  })

  it("tells how to configure it where nothing is, with Effect", async () => {
    const { code, errors, out } = await run("first-effect.ts")
    assert.strictEqual(code, 1)
    assert.include(errors + out, "AZURE_OPENAI_ENDPOINT=")
  })
})

describe("streaming", limit, () => {
  it("prints the whole answer and its usage", async () => {
    await using simulator = await startTwo((resource) => `The keels of ${resource} are long and heavy.`)
    const { code, out } = await run("streaming.ts", variables(simulator))
    assert.match(out, /^The keels of (eastus|sweden) are long and heavy\.\n\d+ tokens in, \d+ out\n$/)
    assert.strictEqual(code, 0)
  })

  it("says so where the stream breaks after its first words", async () => {
    await using simulator = await startTwo((resource) => `The keels of ${resource} are long and heavy.`)
    for (const { name } of simulator.resources) {
      simulator.service(name).fault("*", { kind: "cut", afterEvents: 5, ending: "reset" })
    }
    const { code, errors, out } = await run("streaming.ts", variables(simulator))
    assert.match(out, /^The keels/)
    assert.notInclude(out, "heavy")
    assert.match(errors, /The stream of (eastus|sweden)\/gpt-4o broke after \d+ events/)
    assert.strictEqual(code, 1)
  })
})

describe("telemetry", limit, () => {
  it("goes to a collector, the last of it when the program ends", async () => {
    await using simulator = await startTwo()
    await using collector = await startCollector()
    const { code, errors, out } = await run("telemetry.ts", {
      ...evenkeelConfig(simulator),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: "greeter"
    })
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
    const traces = await collector.find(({ path }) => path === "/v1/traces")
    for (const word of ["\"greet\"", "chat gpt-4o", "greeter"]) assert.include(traces.text, word)
    assert.include((await collector.find(({ path }) => path === "/v1/metrics")).text, "evenkeel.attempts")
  })

  it("is a page for Prometheus, without Effect", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await run("metrics-page.ts", { ...variables(simulator), METRICS_PORT: "0" })
    assert.match(out, /^evenkeel_attempts_total\{.*evenkeel_outcome="success".*\} 1\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })
})

describe("sessions", limit, () => {
  it("meet their prompt cache from the second question on, each at its own place", async () => {
    await using simulator = await startTwo()
    const { code, out } = await run("sessions.ts", variables(simulator))
    const lines = out.trimEnd().split("\n")
    assert.strictEqual(lines.length, 6)
    for (const session of ["contract-1", "contract-2"]) {
      const [first, ...rest] = lines.filter((line) => line.startsWith(session))
      const place = / at (\S+):/.exec(first!)![1]!
      assert.include(first, ": 0 of ")
      for (const line of rest) assert.match(line, new RegExp(` at ${place}: 1\\d\\d\\d of 1\\d\\d\\d prompt tokens`))
    }
    assert.strictEqual(code, 0)
  })
})

describe("a policy of one's own", limit, () => {
  it("decides where every request goes", async () => {
    await using simulator = await startTwo()
    const { code, out } = await run("own-policy.ts", variables(simulator))
    assert.deepStrictEqual([code, out], [0, "eastus/gpt-4o served 0\nsweden/gpt-4o served 4\n"])
  })

  it("never sees what cannot have the request", async () => {
    await using simulator = await startTwo()
    simulator.service("sweden").fault("*", { kind: "status", status: 503 })
    const { code, out } = await run("own-policy.ts", variables(simulator))
    assert.deepStrictEqual([code, out], [0, "eastus/gpt-4o served 4\nsweden/gpt-4o served 0\n"])
  })
})

describe("changes at run time", limit, () => {
  it("move new requests, and let those in flight end where they are", async () => {
    await using simulator = await startTwo()
    const { code, out } = await run("run-time-changes.ts", variables(simulator))
    assert.deepStrictEqual(out.trimEnd().split("\n").toSorted(), [
      "eastus/gpt-4o is draining",
      "eastus/gpt-4o is removed",
      "left: sweden/gpt-4o",
      "new: Hello from sweden.",
      "old: Hello from eastus.",
      "sweden/gpt-4o is added"
    ])
    assert.strictEqual(code, 0)
  })
})

describe("a balanced HTTP client", limit, () => {
  it("takes a program that speaks to OpenAI to a deployment that is up", async () => {
    await using simulator = await startTwo()
    await simulator.down("sweden")
    const { code, out } = await run("balanced-http-client.ts", evenkeelConfig(simulator))
    assert.deepStrictEqual([code, out], [0, "Hello from eastus.\nfrom eastus/gpt-4o\n"])
  })
})

describe("testing with the simulator", limit, () => {
  it("passes", async () => {
    const { code, out } = await run("testing-with-the-simulator.ts")
    assert.match(out, /pass 1\n/)
    assert.strictEqual(code, 0)
  })
})
