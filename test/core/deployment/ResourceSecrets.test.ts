import { assert, describe, it } from "@effect/vitest"
import { inspect } from "node:util"
import { answer, hello, run } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const looks = [
  {},
  { depth: 20 },
  { depth: 20, getters: true },
  { depth: 20, showHidden: true },
  { depth: 20, showHidden: true, getters: true, showProxy: true }
]

const resources = [
  azure("east", {}, { apiKey: "the-key-of-azure" }),
  { name: "open", provider: "openai" as const, apiKey: "the-key-of-openai", deployments: [{ name: "gpt-4o" }] }
]

const texts = (value: object): ReadonlyArray<string> => [
  ...looks.map((options) => inspect(value, options)),
  ...Object.values(value).map(String)
]

describe("a resource that is printed", () => {
  it.effect("shows no key, however deep it is looked into, before and after it was used", () =>
    run(scripted(resources, () => completion), function*(lb, lbs, { members }) {
      const look = () => {
        for (const resource of members.resources()) {
          for (const text of texts(resource)) assert.notInclude(text, "the-key-of")
        }
        for (const deployment of members.all()) {
          for (const text of texts(deployment)) assert.notInclude(text, "the-key-of")
        }
      }
      look()
      for (let i = 0; i < 8; i++) yield* answer(lb.chat(hello))
      look()
      // the keys were there to be seen
      const sent = JSON.stringify(lbs.sends.map(({ headers }) => headers))
      for (const key of ["the-key-of-azure", "the-key-of-openai"]) assert.include(sent, key)
    }))

  it.effect("shows no key that replaced another", () =>
    run(scripted(resources, () => completion), function*(_lb, _on, { members }) {
      yield* members.add(azure("east", {}, { apiKey: "the-key-of-today" }))
      for (const text of texts(members.resource("east")!)) assert.notInclude(text, "the-key-of")
    }))
})
