import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { root, run } from "./support/Run.ts"

describe("scripts/release.ts", () => {
  let clone: string

  const git = (...args: ReadonlyArray<string>) =>
    run("git", ["-c", "user.name=test", "-c", "user.email=test@localhost", ...args], { cwd: clone })
  const release = () => run(process.execPath, ["scripts/release.ts"], { cwd: clone })
  const edit = async (file: string, change: (text: string) => string) =>
    writeFile(join(clone, file), change(await readFile(join(clone, file), "utf8")))

  // what is not committed yet is tested too
  beforeAll(async () => {
    clone = await mkdtemp(join(tmpdir(), "evenkeel-clone-"))
    await git("clone", "--quiet", "--no-local", "--depth", "1", root, ".")
    for (const path of ["scripts", "packages", "CHANGELOG.md", "package.json"]) {
      await cp(join(root, path), join(clone, path), {
        recursive: true,
        filter: (source) => !source.endsWith("node_modules")
      })
    }
    await symlink(join(root, "node_modules"), join(clone, "node_modules"))
    await appendFile(join(clone, ".git/info/exclude"), "/node_modules\n")
    await writeFile(join(clone, ".ci/run"), "echo every test was run\n")
    await git("add", "--all")
    await git("commit", "--quiet", "--message", "a release")
  })

  afterAll(() => rm(clone, { recursive: true }))

  it("refuses a tree with changes, different versions, and a version that the changelog does not know", async () => {
    await edit("CHANGELOG.md", (text) => text.replace("## 0.", "## 1."))
    assert.include((await release()).errors, "the tree has changes")
    await git("commit", "--quiet", "--all", "--message", "another changelog")
    assert.match((await release()).errors, /CHANGELOG\.md has no section \d+\.\d+\.\d+/)
    await edit("packages/otel/package.json", (text) => text.replace(/"version": "[^"]*"/, "\"version\": \"9.9.9\""))
    await git("commit", "--quiet", "--all", "--message", "another version")
    const { code, errors, out } = await release()
    assert.match(errors, /different versions: .*9\.9\.9/)
    assert.strictEqual(code, 1)
    assert.notInclude(out, "every test was run")
    await git("reset", "--quiet", "--hard", "HEAD~2")
  })

  it("refuses where a test fails", async () => {
    await edit(".ci/run", () => "echo a test failed; exit 1\n")
    await git("commit", "--quiet", "--all", "--message", "a test that fails")
    const { code, out } = await release()
    assert.include(out, "a test failed")
    assert.notInclude(out, "npm publish")
    assert.notStrictEqual(code, 0)
    await git("reset", "--quiet", "--hard", "HEAD~1")
  })

  it("checks and packs all, and publishes nothing unless it is told to", async () => {
    const { code, errors, out } = await release()
    assert.strictEqual(code, 0, errors)
    assert.include(out, "every test was run")
    assert.deepStrictEqual(
      Array.from(out.matchAll(/^\$ npm publish \S*evenkeel-(\w+)-\S* (.*)$/gm), ([, name, options]) => [name, options]),
      ["core", "node", "otel"].map((name) => [name, "--access public --provenance --dry-run"])
    )
  })
})
