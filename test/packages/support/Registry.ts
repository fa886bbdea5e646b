/**
 * Packs all packages once, as they are published, and serves them as a registry for the scope `@evenkeel`: so they are
 * installed by their names, as anybody would.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"
import { pnpm, root, run } from "./Run.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Address of the registry. */
    readonly registry: string
    /** Folder of the tarballs. */
    readonly tarballs: string
  }
}

/** What a registry says of a package with one version. */
const described = async (tarballs: string, file: string, origin: string) => {
  const path = join(tarballs, file)
  const manifest = await run("tar", ["-xzOf", path, "package/package.json"], { cwd: tarballs })
  const { name, version } = JSON.parse(manifest.out) as { readonly name: string; readonly version: string }
  const integrity = `sha512-${createHash("sha512").update(await readFile(path)).digest("base64")}`
  // package managers shun what was published lately
  const published = "2020-01-01T00:00:00.000Z"
  return [name, {
    name,
    "dist-tags": { latest: version },
    time: { created: published, modified: published, [version]: published },
    versions: {
      [version]: { ...JSON.parse(manifest.out) as object, dist: { integrity, tarball: `${origin}/-/${file}` } }
    }
  }] as const
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const tarballs = await mkdtemp(join(tmpdir(), "evenkeel-tarballs-"))
  const built = await pnpm(["run", "build"], { cwd: root })
  if (built.code !== 0) throw new Error(`the build failed\n${built.out}${built.errors}`)
  const packed = await pnpm(["-r", "--filter", "./packages/*", "pack", "--pack-destination", tarballs], { cwd: root })
  if (packed.code !== 0) throw new Error(`packing failed\n${packed.out}${packed.errors}`)
  const files = await readdir(tarballs)

  const known = new Map<string, unknown>()
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://localhost").pathname)
    const file = files.find((file) => path === `/-/${file}`)
    if (file !== undefined) void readFile(join(tarballs, file)).then((bytes) => response.end(bytes))
    else if (known.has(path.slice(1))) response.end(JSON.stringify(known.get(path.slice(1))))
    else response.writeHead(404).end("{}")
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const [name, about] of await Promise.all(files.map((file) => described(tarballs, file, origin)))) {
    known.set(name, about)
  }
  project.provide("registry", origin)
  project.provide("tarballs", tarballs)
  return async () => {
    server.close()
    server.closeAllConnections()
    await rm(tarballs, { recursive: true })
  }
}
