import { ask, fromEnvironment } from "#node/cli/Init"
import { example, render, type TemplateResource } from "#node/config/ConfigTemplate"
import * as ConfigSource from "#node/ConfigSource"
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Terminal from "effect/Terminal"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runEvenkeel } from "../../support/Child.ts"

const keys = { AZURE_OPENAI_API_KEY: "a", OPENAI_API_KEY: "o", LOCAL_KEY: "l", TEAM_A_KEY: "t" }

const load = (text: string) => Result.getOrThrow(ConfigSource.read({ EVENKEEL_CONFIG: text, ...keys }))

const openai: TemplateResource = {
  name: "openai",
  provider: "openai",
  endpoint: undefined,
  apiVersion: undefined,
  keyVariable: "OPENAI_API_KEY",
  tier: 2,
  deployments: [{ name: "*" }]
}

const several: ReadonlyArray<TemplateResource> = [
  {
    ...example,
    apiVersion: "2024-10-21",
    deployments: [{ name: "gpt-4o" }, { name: "true", model: "yes: #1" }]
  },
  openai,
  { ...example, name: "entra", keyVariable: undefined },
  { ...openai, name: "local", provider: "compatible", endpoint: "http://127.0.0.1:8000/v1", keyVariable: undefined }
]

describe("the configuration that is written", () => {
  it("loads, whatever is in it", () => {
    const { gateway, resources } = load(render(several))
    assert.deepStrictEqual(resources.map(({ auth, name }) => `${name} ${auth._tag}`), [
      "my-east Key",
      "openai Key",
      "entra Entra",
      "local None"
    ])
    assert.deepInclude(resources[0]!.deployments[1], { name: "true", model: "yes: #1", tier: 1, tpm: undefined })
    assert.strictEqual(resources[1]!.deployments[0]!.tier, 2)
    assert.deepStrictEqual(gateway.keys, [])
  })

  it("loads with all that stands in comments, too", () => {
    const text = render([{ ...example, deployments: [{ name: "a" }, { name: "b" }] }])
    const { gateway, resources } = load(text.replaceAll(/^( *)# (?= *-? ?\w+:)/gm, "$1"))
    for (const deployment of resources[0]!.deployments) assert.deepInclude(deployment, { tpm: 300_000, rpm: 1_800 })
    assert.deepInclude(gateway.keys[0], { name: "team-a", rpm: 600 })
  })

  it("explains each key once", () => {
    const text = render(several)
    assert.lengthOf(text.match(/# tokens a minute/g)!, 1)
    assert.lengthOf(text.match(/# unique/g)!, 1)
  })
})

const said = (environment: ConfigSource.Environment) => Result.getOrThrow(fromEnvironment(environment))

describe("what the environment says", () => {
  it("is a resource whose key stays in its variable", () => {
    const azure = said({
      AZURE_OPENAI_ENDPOINT: "https://my-east.openai.azure.com",
      AZURE_OPENAI_DEPLOYMENTS: "gpt-4o,my-mini=gpt-4o-mini",
      AZURE_OPENAI_API_KEY: "secret"
    })!
    assert.deepInclude(azure, { provider: "azure", keyVariable: "AZURE_OPENAI_API_KEY" })
    assert.deepStrictEqual(azure.deployments, [
      { name: "gpt-4o", model: undefined },
      { name: "my-mini", model: "gpt-4o-mini" }
    ])
    assert.deepStrictEqual(said({ OPENAI_API_KEY: "secret" }), {
      ...openai,
      tier: 1,
      deployments: [{ name: "*", model: undefined }]
    })
    assert.notInclude(render([azure]), "secret")
  })

  it("is nothing, or a mistake that is told", () => {
    assert.isUndefined(said({ EVENKEEL_CONFIG: "evenkeel.yaml", OPENAI_API_KEY: "" }))
    const wrong = fromEnvironment({ AZURE_OPENAI_ENDPOINT: "https://my-east.openai.azure.com" })
    assert.isTrue(Result.isFailure(wrong) && wrong.failure.message.includes("AZURE_OPENAI_DEPLOYMENTS: is missing"))
  })
})

const specials: Readonly<Record<string, Partial<Terminal.Key>>> = {
  "\n": { name: "enter" },
  "↓": { name: "down" },
  "⌫": { name: "u", ctrl: true }
}

/** What is typed: `↓` is the next choice, `⌫` takes the whole answer away. */
const typing = (text: string): ReadonlyArray<Terminal.UserInput> =>
  Array.from(text, (letter) => ({
    input: letter in specials ? Option.none() : Option.some(letter),
    key: { name: letter, ctrl: false, meta: false, shift: false, ...specials[letter] }
  }))

/** Asks at a terminal at which this is typed. Returns what came of it, and what was shown. */
const asked = (known: TemplateResource | undefined, typed: string) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
    yield* Queue.offerAll(queue, typing(typed))
    yield* Queue.end(queue)
    let shown = ""
    const terminal = Terminal.make({
      columns: Effect.succeed(200),
      rows: Effect.succeed(50),
      size: Effect.die("unused"),
      readInput: Effect.succeed(queue),
      readLine: Effect.die("unused"),
      display: (text) =>
        Effect.sync(() => {
          shown += text
        })
    })
    const resources = yield* ask(known).pipe(
      Effect.provideService(Terminal.Terminal, terminal),
      Effect.provide(Layer.merge(FileSystem.layerNoop({}), Path.layer))
    )
    return { resources, shown }
  })

describe("evenkeel init", () => {
  it.effect("asks for one resource after the other, and says what a configuration would not take", () =>
    Effect.gen(function*() {
      const { resources, shown } = yield* asked(
        undefined,
        // Azure OpenAI, its endpoint at the second try, the rest as it is proposed but for the deployments
        "\nmy-east\n⌫https://my-east.openai.azure.com\n\n\n\na=b=c\n⌫gpt-4o,my-mini=gpt-4o-mini\n\n"
          // another: OpenAI, as it is proposed, in tier 2
          + "y↓\n\n\n\n↓\nn"
      )
      assert.include(shown, "entry 1 is neither name nor name=model")
      assert.match(shown, /is not a URL/)
      assert.deepStrictEqual(resources, [
        {
          ...example,
          keyVariable: "MY_EAST_API_KEY",
          deployments: [{ name: "gpt-4o" }, { name: "my-mini", model: "gpt-4o-mini" }]
        },
        openai
      ])
    }))

  it.effect("proposes what the environment says", () =>
    Effect.gen(function*() {
      const { resources } = yield* asked(example, "\n\n\n\n\n\n\nn")
      assert.deepStrictEqual(resources, [example])
    }))

  it("writes a file that loads, and overwrites none", { concurrent: false }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-"))
    const output = join(folder, "evenkeel.yaml")
    try {
      const written = await runEvenkeel(["init", "--output", output], { OPENAI_API_KEY: "secret" })
      assert.deepStrictEqual(written.stdout, `Wrote ${output}.\nThen: evenkeel check --config ${output}\n`)
      const text = readFileSync(output, "utf8")
      assert.strictEqual(load(text).resources[0]!.name, "openai")
      assert.notInclude(text, "secret")
      const refused = await runEvenkeel(["init", "--yes", "--output", output])
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "is there already: --force overwrites it, --output writes another")
      assert.strictEqual(readFileSync(output, "utf8"), text)
      const forced = await runEvenkeel(["init", "--force", "--output", output])
      assert.match(forced.stdout, /The environment says nothing, so it is an example.*\nSet AZURE_OPENAI_API_KEY\.\n/)
      assert.strictEqual(load(readFileSync(output, "utf8")).resources[0]!.name, "my-east")
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
