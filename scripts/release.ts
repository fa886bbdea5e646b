/**
 * Releases the packages: `node scripts/release.ts` checks all and publishes nothing, `--really` does it.
 *
 * The version is that of `packages/*` and of the changelog. Provenance is made where CI can vouch for it: on a workflow of
 * GitHub with `id-token: write`; elsewhere npm refuses to publish.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const root = fileURLToPath(new URL("../", import.meta.url))

/** In the order of publishing: the others depend on the first. */
const packages = ["core", "node", "otel"]

const { values: { really } } = parseArgs({ options: { really: { type: "boolean", default: false } } })

const read = (path: string): string => readFileSync(join(root, path), "utf8")

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  console.log(`\n$ ${command} ${args.join(" ")}`)
  execFileSync(command, args, { cwd: root, stdio: "inherit" })
}

const pnpm = (...args: ReadonlyArray<string>): void => run("npx", "-y", "pnpm@12.21.0", ...args)

const insist = (holds: boolean, otherwise: string): void => {
  if (holds) return
  console.error(`not released: ${otherwise}`)
  process.exit(1)
}

const changes = execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" })
insist(changes === "", `the tree has changes that are not committed\n${changes}`)

const versions = packages.map((name) =>
  (JSON.parse(read(`packages/${name}/package.json`)) as { version: string }).version
)
const [version] = versions
insist(versions.every((other) => other === version), `the packages have different versions: ${versions.join(", ")}`)
insist(read("CHANGELOG.md").includes(`\n## ${version}\n`), `CHANGELOG.md has no section ${version}`)

// types, style, build, publint, the packages as users get them, and every test
run("bash", ".ci/run")

const folder = mkdtempSync(join(tmpdir(), "evenkeel-release-"))
try {
  for (const name of packages) {
    pnpm("--filter", `./packages/${name}`, "pack", "--pack-destination", folder)
    const tarball = join(folder, readdirSync(folder).find((file) => file.includes(`-${name}-`))!)
    run("npx", "publint", "run", "--strict", tarball)
    run("npm", "publish", tarball, "--access", "public", "--provenance", ...(really ? [] : ["--dry-run"]))
  }
} finally {
  rmSync(folder, { recursive: true })
}
console.log(
  really
    ? `\n${version} is released; now: git tag v${version} && git push origin v${version}`
    : `\n${version} can be released: node scripts/release.ts --really`
)
