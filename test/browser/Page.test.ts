import type { Status } from "#node/gateway/OperatorPages"
import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import type { Locator, Page } from "playwright-core"
import { afterAll } from "vitest"
import { type Gated, gated } from "../support/Gated.ts"
import { fast } from "../support/Served.ts"
import { closeBrowser, executable, open } from "./Chromium.ts"
import { faintTexts } from "./Contrast.ts"

const deployments = [
  { name: "gpt", model: "gpt-4o", latency: fast },
  { name: "mini", model: "gpt-4o-mini", latency: fast }
]
const resources = [{ name: "east", deployments }, { name: "west", deployments }]
/** Breakers that come back while a test waits. */
const health = { openFor: 500, maxOpenFor: 500, check: { interval: 300 } }

const ask = async ({ url }: Pick<Gated, "url">, times = 1, model = "gpt-4o") => {
  for (let i = 0; i < times; i++) {
    await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }], stream: i % 2 === 0 })
    }).then((response) => response.text())
  }
}

const statusOf = async ({ url }: Pick<Gated, "url">): Promise<Status> =>
  (await fetch(`${url}/status`)).json() as Promise<Status>

/** The page is shown another status: the gateway's own, changed. */
const change = (page: Page, gateway: Gated, by: (status: Status) => object) =>
  page.route(
    "**/status",
    async (route) => route.fulfill({ json: { ...await statusOf(gateway), ...by(await statusOf(gateway)) } })
  )

const rowOf = (page: Page, name: string): Locator =>
  page.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) })

/** Waits until what is there says so. */
const says = async (locator: Locator, text: string | RegExp, timeout = 12_000) => {
  await locator.filter({ hasText: text }).first().waitFor({ timeout })
}

const isScrolledSideways = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)

afterAll(closeBrowser)

describe.skipIf(executable === undefined)("the page, in a browser", { timeout: 60_000 }, () => {
  it("shows what /status says, and what was decided", async () => {
    await using gateway = await gated(resources, { health })
    await ask(gateway, 12)
    await using opened = await open(gateway.url)
    const { page } = opened
    await says(page.getByRole("status"), "All 4 deployments healthy")
    const { deployments, gateway: { totals } } = await statusOf(gateway)
    for (const { id, totals: { succeeded } } of deployments) {
      const cells = await rowOf(page, id).getByRole("cell").allTextContents()
      assert.strictEqual(cells[0], "healthy")
      assert.include(cells, String(succeeded))
    }
    assert.strictEqual(await page.getByRole("table", { name: "Models" }).getByRole("row").count(), 3)
    const figures = await page.locator("#tiles").innerText()
    assert.include(figures, "0 % of requests")
    assert.include(figures, "First token")
    assert.strictEqual(totals.requests, 12)
    const decisions = page.getByRole("list", { name: "Decisions" }).getByRole("listitem")
    assert.isAbove(await decisions.count(), 0)
    await decisions.first().locator("summary").click()
    await says(decisions.first(), "Attempt 1 of gpt-4o")
    await opened.assertClean()
  })

  it("is live: totals grow, and what was opened or typed stays", async () => {
    await using gateway = await gated([resources[0]!], { health })
    await ask(gateway)
    await using opened = await open(gateway.url)
    const { page } = opened
    const answered = rowOf(page, "east/gpt").locator("[data-label=Answered] > span").first()
    await says(answered, /^1$/)
    const decisions = page.getByRole("list", { name: "Decisions" })
    await decisions.locator("summary").first().click()
    await page.getByRole("searchbox", { name: "Filter" }).fill("east/gpt")
    await ask(gateway, 4)
    await says(answered, /^5$/)
    assert.strictEqual(await decisions.locator("details[open]").count(), 1)
    assert.strictEqual(await page.getByRole("searchbox", { name: "Filter" }).inputValue(), "east/gpt")
    await opened.assertClean()
  })

  it("shows an outage and its end, in words and to whoever listens", async () => {
    await using gateway = await gated([resources[0]!], { health })
    await using opened = await open(gateway.url)
    const { page } = opened
    const live = page.locator("#health[role=status]")
    await says(live, "All 2 deployments healthy")
    gateway.simulator.service("east").fault("gpt", { kind: "status", status: 503 })
    await ask(gateway, 12)
    await says(live, "No usable deployment for gpt-4o")
    assert.include(await page.title(), "No usable deployment for gpt-4o")
    const [state] = await rowOf(page, "east/gpt").getByRole("cell").allTextContents()
    assert.match(state!, /^(?:out|on trial)http 503/)
    await says(page.getByRole("list", { name: "What changed" }), "out: http 503")
    assert.notMatch(await page.locator(".alarm dd.value").innerText(), /^0/)
    gateway.simulator.service("east").clear()
    const traffic = setInterval(() => void ask(gateway), 100)
    await says(live, "All 2 deployments healthy", 20_000).finally(() => clearInterval(traffic))
    await says(page.getByRole("list", { name: "What changed" }), "back")
    await opened.assertClean()
  })

  it("says so when the gateway is gone, and goes on when it is back", async () => {
    const first = await gated(resources, { health })
    await using opened = await open(first.url)
    const { page } = opened
    await says(page.getByRole("status"), "All 4 deployments healthy")
    await first.close()
    await says(page.getByRole("alert"), "The gateway does not answer since")
    // what was last known stays
    assert.isTrue(await rowOf(page, "east/gpt").isVisible())
    await using again = await gated(resources, { health, gateway: { port: first.port } })
    assert.strictEqual(again.port, first.port)
    await says(page.getByRole("status"), "All 4 deployments healthy", 25_000)
    assert.strictEqual(await page.getByRole("alert").textContent(), "")
  })

  it("says how old what it shows is, when the gateway is slow", async () => {
    await using gateway = await gated(resources, { health })
    await using opened = await open(gateway.url)
    const { page } = opened
    await says(page.locator("#heard"), "live")
    await page.route("**/status", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 10_000))
      await route.continue()
    })
    await says(page.locator("#heard"), /heard \d+ s ago/, 15_000)
    await page.unroute("**/status")
    await says(page.locator("#heard"), "live", 15_000)
  })

  it("takes hostile names and reasons for text", async () => {
    await using gateway = await gated(resources, { health })
    await using opened = await open(`${gateway.url}/healthz`)
    const { page } = opened
    const evil = "<img src=x onerror=\"document.title='hit'\"><script>alert(1)</script>\u202e\u0000{{7*7}}"
    await change(page, gateway, ({ deployments, gateway: { totals, ...rest }, models }) => ({
      deployments: deployments.map((one) =>
        Object.assign(one, {
          id: `${one.id}${evil}`,
          region: evil,
          model: evil,
          state: "open",
          reason: evil,
          opensIn: 900
        })
      ),
      models: [...models, { name: evil, waiting: 1 }],
      gateway: {
        ...rest,
        totals,
        keys: [{ name: evil, streams: 0, tokens: { used: 1 }, requests: { used: 1 } }],
        happenings: [{ at: 1, count: 2, level: "bad", about: evil, what: evil, more: evil }]
      }
    }))
    await page.route(
      "**/decisions**",
      (route) =>
        route.fulfill({ json: [{ at: 1, model: evil, attempt: 2, winner: evil, because: "constructor", text: evil }] })
    )
    await page.goto(gateway.url)
    await says(page.getByRole("status"), evil.slice(0, 20))
    await page.waitForTimeout(2500)
    assert.strictEqual(await page.locator("main img, main script, main a").count(), 0)
    assert.include(await page.locator("main").textContent(), "<script>alert(1)</script>")
    assert.notInclude(await page.title(), "hit\u0000")
    await opened.assertClean()
  })

  it("asks for an operator's key where the gateway has keys, and keeps it in this tab alone", async () => {
    const keys = ["a", "b"].map((name) => ({
      name,
      sha256: createHash("sha256").update(`secret-of-${name}`).digest("hex"),
      operator: name === "b",
      rpm: name === "b" ? 60 : undefined
    }))
    await using gateway = await gated(resources, { health, gateway: { keys } })
    await using opened = await open(gateway.url)
    const { page } = opened
    const input = page.getByLabel("Operator's key")
    await input.waitFor()
    assert.isFalse(await page.locator("main").isVisible())
    await page.setViewportSize({ width: 360, height: 740 })
    assert.isFalse(await isScrolledSideways(page))
    await input.fill("secret-of-a")
    await page.keyboard.press("Enter")
    await says(page.getByRole("alert"), "This key is no operator's.")
    assert.isTrue(await input.evaluate((element) => element === document.activeElement))
    await input.fill("secret-of-b")
    await page.keyboard.press("Enter")
    await says(page.getByRole("status"), "All 4 deployments healthy")
    await says(page.getByRole("table", { name: "Keys" }), "of 60")
    // what is counted for nothing is not said to be 0
    await says(page.getByRole("row", { name: "a –" }), "no limit")
    assert.isFalse(await input.isVisible())
    const kept = await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie, location.href])
    assert.deepStrictEqual(kept, [1, 0, "", `${gateway.url}/`])
    assert.notInclude(await page.content(), "secret-of-b")
    await page.reload()
    await says(page.getByRole("status"), "All 4 deployments healthy")
    await page.getByRole("button", { name: "Forget key" }).click()
    await input.waitFor()
    assert.strictEqual(await page.evaluate(() => sessionStorage.length), 0)
    await opened.assertClean()
  })

  it("works by keyboard alone, and shows where the focus is", async () => {
    await using gateway = await gated(resources, { health })
    await ask(gateway, 3)
    await using opened = await open(gateway.url)
    const { page } = opened
    await rowOf(page, "east/gpt").waitFor()
    const reached: Array<string> = []
    const pressed: Readonly<Record<string, string>> = { Cost: "Enter", Pause: "Space", unwell: "Space", filter: "a" }
    const tab = async (): Promise<void> => {
      await page.keyboard.press("Tab")
      const [name, outline] = await page.evaluate(() => {
        const focused = document.activeElement!
        return [
          focused === document.body ? "" : focused.textContent || focused.id,
          getComputedStyle(focused).outlineStyle
        ]
      }) as [string, string]
      if (name === "" || reached.length > 60) return
      assert.notStrictEqual(outline, "none", name)
      assert.isTrue(await page.locator(":focus").isVisible(), name)
      reached.push(name)
      if (pressed[name] !== undefined) await page.keyboard.press(pressed[name])
      return tab()
    }
    await tab()
    assert.includeMembers(reached, [
      "Skip to the deployments",
      "Pause",
      "filter",
      "unwell",
      "State",
      "Deployment",
      "Cost"
    ])
    assert.isTrue(reached.some((name) => name.startsWith("gpt-4o → ")))
    assert.strictEqual(await page.getByRole("columnheader", { name: "Cost" }).getAttribute("aria-sort"), "descending")
    assert.strictEqual(await page.getByRole("button", { name: "Pause" }).getAttribute("aria-pressed"), "true")
    await says(page.locator("#shown"), "0 of 4 match")
    await opened.assertClean()
  })

  it("names every control and table, and every text can be read, in light and dark", async () => {
    await using gateway = await gated(resources, { health })
    gateway.simulator.service("east").fault("gpt", { kind: "throttle", retryAfterMs: 60_000 })
    await ask(gateway, 10)
    const roles = new Set<unknown>(["button", "link", "textbox", "searchbox", "checkbox", "table", "list"])
    await Promise.all((["light", "dark"] as const).map(async (colorScheme) => {
      await using opened = await open(gateway.url, { colorScheme })
      const { page } = opened
      await says(page.getByRole("status"), "1 throttled of 4 deployments")
      const { nodes } = await (await page.context().newCDPSession(page)).send("Accessibility.getFullAXTree")
      const controls = nodes.filter(({ ignored, role }) => !ignored && roles.has(role?.value))
      assert.isAbove(controls.length, 15)
      assert.deepStrictEqual(controls.filter(({ name }) => String(name?.value ?? "") === ""), [])
      assert.deepStrictEqual(await faintTexts(page), [], colorScheme)
    }))
  })

  it("fits a phone, whatever names are as long as", async () => {
    await using gateway = await gated(resources, { health })
    await ask(gateway, 4)
    await using opened = await open(`${gateway.url}/healthz`, { viewport: { width: 360, height: 740 } })
    const { page } = opened
    await page.goto(gateway.url)
    await rowOf(page, "east/gpt").waitFor()
    assert.isFalse(await isScrolledSideways(page))
    // a row that is drawn as a card is a row to a screen reader all the same
    assert.strictEqual(await page.locator("#deployments-table").getByRole("row").count(), 5)
    const long = "x".repeat(300)
    await change(page, gateway, ({ deployments, gateway: rest }) => ({
      deployments: deployments.map((one) =>
        Object.assign(one, { id: one.id + long, model: long, region: long, state: "open", reason: long })
      ),
      models: [{ name: long, waiting: 0 }],
      gateway: {
        ...rest,
        keys: [{ name: long, streams: 0, tokens: { used: 1e12 }, requests: { used: 1 } }],
        happenings: [{ at: 1, count: 1, level: "bad", about: long, what: long }]
      },
      fleet: { isHeard: false, members: 1, shares: [{ deployment: long, tokens: 1, ownTokens: 1 }] }
    }))
    await page.reload()
    await says(page.getByRole("status"), "No usable deployment for xxx")
    assert.isFalse(await isScrolledSideways(page))
    await page.setViewportSize({ width: 1280, height: 800 })
    assert.isFalse(await isScrolledSideways(page))
    await opened.assertClean()
  })

  it("shows a fleet, and three hundred deployments, those in need first", async () => {
    await using gateway = await gated(resources, { health })
    await using opened = await open(`${gateway.url}/healthz`)
    const { page } = opened
    await change(page, gateway, ({ deployments: [one] }) => ({
      deployments: Array.from({ length: 300 }, (_, i) => ({
        ...one,
        id: `r${i}/gpt`,
        ...(i === 299 ? { state: "open", reason: "http 503", opensIn: 4000 } : {})
      })),
      fleet: {
        isHeard: true,
        members: 3,
        heardAgo: 400,
        shares: [{ deployment: "r0/gpt", tokens: 900, ownTokens: 300 }]
      }
    }))
    await page.goto(gateway.url)
    await says(page.getByRole("status"), "1 out of 300 deployments")
    const rows = page.locator("#deployments-table").getByRole("row")
    assert.strictEqual(await rows.count(), 31)
    await says(rows.nth(1), "r299/gpt")
    await page.getByRole("button", { name: "Show all 300" }).click()
    assert.strictEqual(await rows.count(), 301)
    await page.getByRole("checkbox", { name: "Needs attention" }).check()
    assert.strictEqual(await rows.count(), 2)
    await says(page.locator("#fleet"), "3 members, heard 1 s ago")
    await says(page.getByRole("table", { name: "Tokens of the last minute" }), "900")
    await opened.assertClean()
  })
})
