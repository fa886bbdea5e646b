/**
 * `evenkeel serve` as a process of its own, before simulated resources of the test's.
 */
import { startSimulator } from "#node/simulator/SimulatorServer"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startEvenkeel } from "./Child.ts"
import { deployment } from "./Edge.ts"

/** A folder of the test's own. */
export const folder = (): { readonly path: string } & Disposable => {
  const path = mkdtempSync(join(tmpdir(), "evenkeel-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Puts a file in the place of another in one step, as editors and deployments do. */
export const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

type Own = Partial<Parameters<typeof startSimulator>[0]["resources"][number]["deployments"][number]>

/** A gateway that serves, its configuration in a file. */
export const serve = async (
  gateway: object = {},
  own: Own = {},
  args: ReadonlyArray<string> = [],
  names: ReadonlyArray<string> = ["east"]
) => {
  const simulator = await startSimulator({
    resources: names.map((name) => ({ name, apiKey: `key-of-${name}`, deployments: [{ ...deployment, ...own }] }))
  })
  const place = folder()
  const file = join(place.path, "evenkeel.json")
  const text = (changes: object = {}, used: ReadonlyArray<string> = names) =>
    JSON.stringify({
      resources: simulator.resources.filter(({ name }) => used.includes(name)).map((resource) => resource.config()),
      health: { check: { kind: "none" } },
      gateway: { port: 0, ...gateway, ...changes }
    })
  writeFileSync(file, text())
  const running = startEvenkeel(["serve", "--config", file, ...args])
  const close = async () => {
    running.child.kill("SIGKILL")
    await running.ended
    await simulator.close()
    place[Symbol.dispose]()
  }
  try {
    const url = /listens at (\S+);/.exec(await running.said(/listens at \S+;/))![1]!
    return { ...running, simulator, file, text, port: Number(new URL(url).port), [Symbol.asyncDispose]: close }
  } catch (cause) {
    await close()
    throw cause
  }
}
