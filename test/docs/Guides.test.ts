import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Random } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import { TestClock } from "effect/testing"
import { blocksNamed, blocksOf, brokenLinks, configOf, deploymentsOf, namesIn, textOf } from "./Pages.ts"
import { played } from "./Played.ts"

const OURS = "# evenkeel.yaml\n"

const pages = namesIn("docs/guides/", ".md").map((name) => ({ name, text: textOf(`docs/guides/${name}`) }))
const guides = pages.filter(({ name }) => name !== "README.md")
const programs = [
  ...namesIn("examples/guides/", ".ts").map((name) => `examples/guides/${name}`),
  ...namesIn("examples/", ".ts").map((name) => `examples/${name}`)
].map((path) => ({ path, text: textOf(path) }))

describe("docs/guides", () => {
  it("has an index of every page, and is in the README", () => {
    const index = pages.find(({ name }) => name === "README.md")!.text
    for (const { name } of guides) assert.include(index, `](${name})`)
    assert.include(textOf("README.md"), "](docs/guides/README.md)")
  })

  it.each(pages)("$name leads nowhere wrong", ({ name }) => {
    assert.deepStrictEqual(brokenLinks(`docs/guides/${name}`), [])
  })

  it.each(guides)("$name is short", ({ text }) => {
    assert.isBelow(text.split("\n").length, 160)
    const prose = text.replaceAll(/^```.*?^```$/gms, "")
    assert.isBelow(prose.split("\n").length, 100)
  })

  it.each(pages)("$name shows no program that is not run", ({ text }) => {
    const known = new Set(programs.map((program) => program.text))
    for (const block of blocksOf(text)) {
      if (block.language === "ts") assert.isTrue(known.has(block.text), block.text)
    }
  })

  it("shows every program of examples/guides, each run by a test", () => {
    const shown = new Set(guides.flatMap(({ text }) => blocksOf(text).map((block) => block.text)))
    const runs = textOf("test/docs/GuidePrograms.test.ts")
    for (const { path, text } of programs.filter(({ path }) => path.startsWith("examples/guides/"))) {
      assert.isTrue(shown.has(text), path)
      const name = path.slice("examples/".length)
      const parts = ["guides/greeter.ts", "guides/balanced-language-model.ts"]
      if (!parts.includes(name)) assert.include(runs, `${name}"`)
    }
  })

  it.each(pages)("$name has YAML that is ours, and is loaded, or says whose it is", ({ text }) => {
    for (const block of blocksOf(text)) {
      if (block.language !== "yaml") continue
      if (block.text.startsWith(OURS)) configOf(block.text)
      else {
        assert.match(block.text, /^# (?:LiteLLM): .*\n/)
        assert.isObject(Yaml.parse(block.text))
      }
    }
  })
})

describe("a configuration of a guide", () => {
  const all = guides.flatMap(({ name, text }) => blocksNamed(text, "yaml", OURS).map((yaml) => ({ name, yaml })))

  it("is on every page but those of programs alone", () => {
    const without = ["effect-language-model.md", "effect.md", "plain-typescript.md"]
    const names = new Set(all.map(({ name }) => name))
    assert.deepStrictEqual(guides.filter(({ name }) => !names.has(name)).map(({ name }) => name), without)
  })

  for (const { name, yaml } of all) {
    it.effect(`of ${name} answers each model from its first tier, and from the next where that is throttled`, () => {
      const config = configOf(yaml)
      const { ask, layer, services } = played(config)
      const deployments = deploymentsOf(config)
      const models = new Set(deployments.map(({ model }) => model))
      return Effect.gen(function*() {
        for (const model of models) {
          const own = deployments.filter((deployment) => deployment.model === model)
          const tiers = [...new Set(own.map(({ tier }) => tier))].toSorted((a, b) => a - b)
          for (const tier of tiers) {
            const expected = own.filter((deployment) => deployment.tier === tier).map(({ id }) => id)
            assert.include(expected, yield* ask(model))
            for (const id of expected) {
              const [resource = "", deployment = ""] = id.split("/")
              services[resource]!.fault(deployment, { kind: "throttle", retryAfterMs: 60_000 })
            }
          }
          for (const service of Object.values(services)) service.clear()
        }
      }).pipe(Effect.provide(layer), Random.withSeed(name))
    })
  }
})

const configOfPage = (name: string) => configOf(blocksNamed(textOf(`docs/guides/${name}`), "yaml", OURS)[0]!)

describe("what a guide says", () => {
  it.effect("of a pool: a limit that one member gives is that of all", () => {
    const config = configOfPage("many-regions.md")
    const { ask, layer } = played(config)
    return Effect.gen(function*() {
      const members = deploymentsOf(config).filter(({ pool }) => pool === "subscription-a").map(({ id }) => id)
      assert.deepStrictEqual(members, ["eastus/gpt-4o", "sweden/gpt-4o"])
      yield* ask("gpt-4o")
      const { deployments } = yield* (yield* LoadBalancer).snapshot
      const limits = deployments.filter(({ id }) => members.includes(id)).map(({ tokens }) => tokens.limit)
      assert.deepStrictEqual(limits, [450_000, 450_000])
    }).pipe(Effect.provide(layer), Random.withSeed(1))
  })

  it.effect("of provisioned throughput: what it has no room for goes to the next tier, and comes back", () => {
    const { ask, layer, services } = played(configOfPage("ptu-with-spillover.md"))
    return Effect.gen(function*() {
      assert.strictEqual(yield* ask("gpt-4o"), "sweden/gpt-4o-ptu")
      services["sweden"]!.fault("gpt-4o-ptu", { kind: "throttle", retryAfterMs: 20_000, times: 1 })
      assert.notStrictEqual(yield* ask("gpt-4o"), "sweden/gpt-4o-ptu")
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* ask("gpt-4o"), "sweden/gpt-4o-ptu")
    }).pipe(Effect.provide(layer), Random.withSeed(1))
  })
})
