import { queries } from "#otel/Dashboard"
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { queriesOf, sectionOf, sections } from "./DocTables.ts"

const url = new URL("../../docs/observability.md", import.meta.url)
const page = readFileSync(url, "utf8")

describe("docs/observability.md", () => {
  it("answers each question with queries of the dashboard", () => {
    const known = new Set(queries().map(({ expression }) => expression.text))
    const quoted = queriesOf(page)
    assert.deepStrictEqual(quoted.filter((query) => !known.has(query)), [])
    const questions = page.split("\n## ").find((part) => part.startsWith("The questions of an on-call night"))!
    for (const question of questions.split("\n### ").slice(1)) {
      assert.isAbove(queriesOf(question).length, 0, question.split("\n", 1)[0])
    }
  })

  it("has every alert and every instrument in its tables, as they are", () => {
    for (const [name, text] of Object.entries(sections())) {
      assert.strictEqual(sectionOf(page, name), text, `The section <!-- ${name} --> must be:\n\n${text}\n\n`)
    }
  })

  it("links only to headings and files that are there", () => {
    const anchors = new Set(
      [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading!.toLowerCase().replaceAll(/[^\w -]/g, "").replaceAll(" ", "-")
      )
    )
    for (const [, target] of page.matchAll(/\]\(([^)]*)\)/g)) {
      if (target!.startsWith("#")) assert.isTrue(anchors.has(target!.slice(1)), target)
      else assert.isTrue(existsSync(new URL(target!.split("#", 1)[0]!, url)), target)
    }
  })

  it("names panels that there are", () => {
    const titles = new Set(queries().map(({ panel }) => panel))
    for (const name of ["Attempts given up because nothing came in time", "Tokens of each answer"]) {
      assert.include(page, `\`${name}\``)
      assert.isTrue(titles.has(name), name)
    }
  })
})
