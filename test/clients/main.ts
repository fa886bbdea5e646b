/**
 * Installs the clients of others, which are no part of the workspace, and runs the suite over them. Where they cannot be
 * fetched it says so, and that is no failure.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL(".", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))

const run = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args, { cwd: root, stdio: "inherit" }).status === 0

const install = spawnSync(
  "npx",
  ["-y", "pnpm@12.21.0", "install", "--frozen-lockfile", "--prefer-offline"],
  { cwd: folder, encoding: "utf8" }
)
const said = `${install.stdout}${install.stderr}`
if (install.status === 0) {
  const passed = run("tsc", "-b", folder) && run("node", "scripts/bundle.ts")
    && run("vitest", "run", "--config", `${folder}vitest.config.ts`, ...process.argv.slice(2))
  process.exitCode = passed ? 0 : 1
} else if (/FETCH|NO_OFFLINE|ENOTFOUND|ECONN|EAI_AGAIN|TIMEDOUT/.test(said)) {
  console.log("SKIPPED: the clients cannot be fetched here, so none of them was tested.")
} else {
  console.log(said)
  process.exitCode = 1
}
