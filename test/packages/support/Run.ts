import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { type Finished, finished, spawned } from "../../support/Child.ts"

export const root = fileURLToPath(new URL("../../../", import.meta.url))

export { type Finished } from "../../support/Child.ts"

export interface RunOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** Far above what any of them takes. */
const AT_MOST = 170_000

/** Runs a command to its end. The environment of the test's own run is not a user's. */
export const run = (command: string, args: ReadonlyArray<string>, { cwd, env }: RunOptions): Promise<Finished> => {
  const inherited = Object.entries(process.env).filter(([key]) =>
    !/^(?:npm_package_|npm_lifecycle_|VITEST|NODE_ENV$|NODE_OPTIONS$|TEST$)/i.test(key)
  )
  return finished(spawned(command, args, { cwd, env: { ...Object.fromEntries(inherited), ...env }, most: AT_MOST }))
}

/** The package manager of this workspace. */
export const pnpm = (args: ReadonlyArray<string>, options: RunOptions): Promise<Finished> =>
  run("npx", ["-y", "pnpm@12.21.0", ...args], options)

/** What a program prints in the first brackets of a pattern, as soon as it does. */
export const said = async (stdout: Readable, pattern: RegExp): Promise<string> => {
  let out = ""
  return new Promise((resolve, reject) => {
    stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      const found = pattern.exec(out)
      if (found !== null) resolve(found[1]!)
    })
    stdout.on("end", () => reject(new Error(`it never said ${pattern}: ${out}`)))
  })
}
