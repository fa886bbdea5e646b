/**
 * A real browser, where one is installed: Debian's Chromium, or whatever `EVENKEEL_CHROMIUM` names.
 */
import { assert } from "@effect/vitest"
import { existsSync } from "node:fs"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const named = process.env["EVENKEEL_CHROMIUM"]
const usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** Where it is; `undefined` where it is not, which the console says aloud. */
export const executable: string | undefined = (named === undefined ? usual : [named]).find((path) => existsSync(path))

if (executable === undefined) {
  console.warn("SKIPPED: no Chromium here. Install it to run these tests: apt-get install chromium")
}

let launched: Promise<Browser> | undefined

/** One for all tests of a process. It says nothing to anybody but to the page that is looked at. */
export const browser = (): Promise<Browser> =>
  launched ??= chromium.launch({
    executablePath: executable!,
    args: [
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })

/** Ends it, if it was started. */
export const closeBrowser = async (): Promise<void> => (await launched)?.close()

/** A page that was opened, and what it did that it must not do. */
export interface Opened extends AsyncDisposable {
  readonly page: Page
  /** Fails where it asked another host, violated its policy, or threw. */
  readonly assertClean: () => Promise<void>
}

/** Opens a page in a context of its own. */
export const open = async (url: string, options: BrowserContextOptions = {}): Promise<Opened> => {
  const context = await (await browser()).newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const wrongs: Array<string> = []
  const { host } = new URL(url)
  page.on("request", (request) => {
    const asked = new URL(request.url())
    if (asked.protocol !== "data:" && asked.host !== host) wrongs.push(`asked ${request.url()}`)
  })
  page.on("pageerror", (error) => wrongs.push(String(error)))
  page.on("dialog", (dialog) => wrongs.push(`dialog ${dialog.message()}`))
  page.on("console", (message) => {
    // a request that is refused is told of there too
    const isExpected = message.type() !== "error" || message.text().startsWith("Failed to load resource")
    if (!isExpected) wrongs.push(message.text())
  })
  await page.addInitScript(() => {
    const violations: Array<string> = []
    Object.assign(globalThis, { violations })
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective))
  })
  await page.goto(url)
  return {
    page,
    assertClean: async () => {
      const violations = await page.evaluate(() => (globalThis as unknown as { violations: Array<string> }).violations)
      assert.deepStrictEqual([...wrongs, ...violations], [])
    },
    [Symbol.asyncDispose]: () => context.close()
  }
}
