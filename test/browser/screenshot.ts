/**
 * Makes the picture of the page for the README: `node test/browser/screenshot.ts [folder]`. With a folder it makes one for
 * each width, colour scheme and state besides, to look at.
 */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { BrowserContextOptions } from "playwright-core"
import { closeBrowser, open } from "./Chromium.ts"
import { operatorKey, startScene } from "./Scene.ts"

const folder = process.argv[2]
const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds))

await using scene = await startScene(14)

const shoot = async (path: string, options: BrowserContextOptions, fullPage = true) => {
  await using opened = await open(scene.url, options)
  const { page } = opened
  await page.getByLabel("Operator's key").fill(operatorKey)
  await page.keyboard.press("Enter")
  await page.getByRole("rowheader").first().waitFor()
  await pause(2)
  await page.screenshot({ path, fullPage })
}

const looks = (["light", "dark"] as const).flatMap((colorScheme) =>
  [1280, 360].map((width) => ({ colorScheme, viewport: { width, height: 800 } }))
)

const shootAll = async (state: string) => {
  if (folder === undefined) return
  await Promise.all(
    looks.map((look) => shoot(join(folder, `${state}-${look.colorScheme}-${look.viewport.width}.png`), look))
  )
}

await pause(150)
await shootAll("healthy")
scene.simulator.service("sweden").fault("*", { kind: "status", status: 503 })
scene.simulator.service("eastus2").fault("gpt-4o", { kind: "throttle", retryAfterMs: 20_000 })
scene.simulator.service("japan").fault("gpt-4o", { kind: "slow", factor: 8 })
await pause(12)
const picture = fileURLToPath(new URL("../../docs/images/page.png", import.meta.url))
await shoot(picture, { viewport: { width: 1280, height: 870 } }, false)
await shootAll("outage")
await closeBrowser()
