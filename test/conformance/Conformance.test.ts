import { afterAll, assert, describe, it } from "@effect/vitest"
import { readFile } from "node:fs/promises"
import OpenAI from "openai"
import { sample } from "../support/Check.ts"
import type { Case } from "./Case.ts"
import * as Azure from "./cases/azure.ts"
import * as Errors from "./cases/errors.ts"
import * as Helpers from "./cases/helpers.ts"
import * as Pages from "./cases/pages.ts"
import * as Reading from "./cases/reading.ts"
import * as Requests from "./cases/requests.ts"
import * as Results from "./cases/results.ts"
import * as Streams from "./cases/streams.ts"
import * as Uploads from "./cases/uploads.ts"
import { type Found, outdated, unlisted } from "./Compare.ts"
import { differences } from "./differences.ts"
import * as Methods from "./Methods.ts"
import { rowsIn, rowsOf } from "./Page.ts"
import { type Compared, start } from "./Suite.ts"

const methods = Methods.methodsOf(new OpenAI({ apiKey: "none", adminAPIKey: "none" }))
const ofMethods = Methods.cases(methods)
const cases: ReadonlyArray<Case> = [
  Results,
  Requests,
  Errors,
  Streams,
  Reading,
  Pages,
  Helpers,
  Uploads,
  Azure,
  { cases: sample(ofMethods, 10) }
].flatMap(({ cases }) => cases)

const suite = await start()
afterAll(suite.close)

const comparing = new Map<string, Promise<Compared>>()

/** Each case is run once, whoever asks first. */
const compared = (given: Case): Promise<Compared> => {
  const known = comparing.get(given.name)
  if (known !== undefined) return known
  const running = suite.compare(given)
  comparing.set(given.name, running)
  return running
}

/** Long enough to see what is meant. */
const short = (value: unknown): string => String(JSON.stringify(value)).slice(0, 200)

const told = ({ at, balanced, bare, door }: Found): string =>
  `${door} at ${at}: ${short(bare)} became ${short(balanced)}`

describe("a caller sees what the bare client shows, through every door", () => {
  for (const given of cases) {
    it(given.name, async () => {
      const { found } = await compared(given)
      assert.deepStrictEqual(unlisted(found, differences).map(told), [])
    })
  }
})

describe("the suite", () => {
  it("has a name of its own for each case", () => {
    const names = cases.map(({ name }) => name)
    assert.deepStrictEqual(names.filter((name, i) => names.indexOf(name) !== i), [])
  })

  it("has a case for every group of the client's methods", () => {
    const groups = new Set(methods.map(({ group }) => group))
    const missing = [...groups].filter((group) =>
      ![...cases, ...ofMethods].some(({ name }) => name.startsWith(`method: ${group}.`))
    )
    assert.deepStrictEqual(missing, [])
  })

  it("calls each method as it wants to be called", async () => {
    const unanswered: Array<string> = []
    for (const given of sample(ofMethods, 10)) {
      const { bare } = await compared(given)
      const { sent = [], threw } = bare as { readonly sent?: ReadonlyArray<unknown>; readonly threw?: unknown }
      if (threw !== undefined || sent.length === 0) unanswered.push(given.name)
    }
    assert.deepStrictEqual(unanswered, [])
  }, 120_000)

  it("is what docs/conformance.md says", async () => {
    const page = await readFile(new URL("../../docs/conformance.md", import.meta.url), "utf8")
    assert.deepStrictEqual(rowsIn(page), rowsOf(differences))
  })

  it("lists no difference that does not occur", async () => {
    const found: Array<Found> = []
    for (const given of cases) found.push(...(await compared(given)).found)
    assert.deepStrictEqual(outdated(found, differences), [])
    // it is over when the last case is
  }, 120_000)
})
