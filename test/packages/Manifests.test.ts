import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, inject, it } from "vitest"
import { root, run } from "./support/Run.ts"

const repository = "https://github.com/evenkeel/evenkeel"

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly description: string
  readonly keywords: ReadonlyArray<string>
  readonly homepage: string
  readonly bugs: { readonly url: string }
  readonly repository: { readonly url: string; readonly directory: string }
  readonly engines: { readonly node: string }
  readonly exports: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
}

/** What is in each tarball. */
const packed = Promise.all(
  (await readdir(inject("tarballs"))).map(async (file) => {
    const tarball = join(inject("tarballs"), file)
    const list = await run("tar", ["-tzf", tarball], { cwd: root })
    const read = async (name: string) => (await run("tar", ["-xzOf", tarball, `package/${name}`], { cwd: root })).out
    return {
      files: list.out.trim().split("\n").map((name) => name.replace(/^package\//, "")),
      manifest: JSON.parse(await read("package.json")) as Manifest,
      readme: await read("README.md")
    }
  })
)

describe("each tarball", () => {
  it("says where it comes from, and has its own licence", async () => {
    const tarballs = await packed
    assert.strictEqual(tarballs.length, 3)
    for (const { files, manifest } of tarballs) {
      const { name } = manifest
      assert.strictEqual(manifest.repository.url, `git+${repository}.git`, name)
      assert.strictEqual(manifest.repository.directory, `packages/${name.replace("@evenkeel/", "")}`)
      assert.strictEqual(manifest.homepage, `${repository}#readme`, name)
      assert.strictEqual(manifest.bugs.url, `${repository}/issues`, name)
      assert.strictEqual(manifest.license, "MIT", name)
      assert.isAbove(manifest.description.length, 40, name)
      assert.isAbove(manifest.keywords.length, 5, name)
      assert.strictEqual(manifest.engines.node, ">=22.19.0", name)
      assert.includeMembers(files, ["LICENSE", "README.md"], name)
    }
  })

  it("has each of its doors, with types, and the sources that its maps name", async () => {
    for (const { files, manifest } of await packed) {
      const doors = [...Object.values(manifest.exports), ...Object.values(manifest.bin ?? {})]
        .map((door) => door.slice("./".length))
      assert.includeMembers(files, doors, manifest.name)
      const types = doors.filter((door) => door.endsWith(".js")).map((door) => door.replace(/js$/, "d.ts"))
      assert.includeMembers(files, types, manifest.name)
      assert.include(files, "src/index.ts", manifest.name)
      assert.deepStrictEqual(files.filter((file) => /test|\.tsbuildinfo|node_modules/.test(file)), [], manifest.name)
    }
  })

  it("is of one version, of which the changelog tells, and takes the others of the same", async () => {
    const manifests = (await packed).map(({ manifest }) => manifest)
    const [version] = new Set(manifests.map(({ version }) => version))
    assert.include(await readFile(join(root, "CHANGELOG.md"), "utf8"), `\n## ${version}\n`)
    for (const { dependencies = {}, name, version: own } of manifests) {
      assert.strictEqual(own, version, name)
      for (const [dependency, range] of Object.entries(dependencies)) {
        if (dependency.startsWith("@evenkeel/")) assert.strictEqual(range, version, `${name}: ${dependency}`)
      }
    }
  })

  it("has a README whose links lead somewhere from anywhere", async () => {
    for (const { manifest: { name }, readme } of await packed) {
      const links = Array.from(readme.matchAll(/\]\(([^)]*)\)/g), ([, target]) => target!)
      assert.isNotEmpty(links, name)
      for (const link of links) {
        assert.match(link, /^https:\/\//, name)
        const path = link.startsWith(`${repository}/blob/main/`) ? link.slice(`${repository}/blob/main/`.length) : "."
        assert.isTrue(existsSync(join(root, path.split("#", 1)[0]!)), link)
      }
    }
  })
})
