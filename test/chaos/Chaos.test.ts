import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { usualEnvironment } from "../support/Child.ts"
import { ceilingOf, settingsOf } from "./Settings.ts"

const settings = settingsOf(process.env)
/** A run that somebody asked for is looked at while it runs. */
const isWatched = process.env["EVENKEEL_CHAOS_SECONDS"] !== undefined

interface Ended {
  readonly code: number | null
  readonly output: string
  /** From the last word to the end of the process, in milliseconds. */
  readonly lingered: number
}

/** A process of its own, whose heap, sockets and timers are of nothing else. */
const runChaos = (): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("main.ts", import.meta.url))], {
      env: { ...usualEnvironment, ...process.env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: ceilingOf(settings) + 10_000,
      killSignal: "SIGKILL"
    })
    let output = ""
    let saidAt = performance.now()
    const hear = (text: string) => {
      output += text
      saidAt = performance.now()
      if (isWatched) process.stdout.write(text)
    }
    child.stdout.setEncoding("utf8").on("data", hear)
    child.stderr.setEncoding("utf8").on("data", hear)
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, output, lingered: performance.now() - saidAt }))
  })

describe("chaos", () => {
  it("leaves every answer whole or a typed error, and nothing behind", async () => {
    const { code, lingered, output } = await runChaos()
    assert.strictEqual(code, 0, output)
    assert.isBelow(lingered, 5_000, "the process did not end by itself")
  }, ceilingOf(settings) + 20_000)
})
