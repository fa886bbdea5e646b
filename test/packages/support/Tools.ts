/**
 * Programs that this workspace needs for these tests alone: taken from npm's registry, and kept.
 */
import { existsSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { TestContext } from "vitest"
import { root, run } from "./Run.ts"

const tools = {
  bun: { from: "bun@1.4.5", file: ".bin/bun" },
  deno: { from: "deno@2.9.6", file: ".bin/deno" },
  "node 22.19": { from: `node-linux-${process.arch}@22.19.0`, file: `node-linux-${process.arch}/bin/node` },
  esbuild: { from: "esbuild@0.28.2", file: ".bin/esbuild" },
  rspack: { from: "@rspack/core@2.3.2", file: "@rspack/core/dist/index.js" },
  webpack: { from: "webpack@5.112.2", file: "webpack" },
  tsx: { from: "tsx@4.23.15", file: ".bin/tsx" }
} as const

const have = async (name: keyof typeof tools): Promise<string | undefined> => {
  const { file, from } = tools[name]
  const folder = join(root, "node_modules/.cache/tools", from.replace("/", "+"))
  const path = join(folder, "node_modules", file)
  if (existsSync(path)) return path
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, "package.json"), "{\"private\":true}")
  const { code } = await run("npm", ["install", "--no-audit", "--no-fund", from], { cwd: folder })
  return code === 0 && existsSync(path) ? path : undefined
}

/** With `EVENKEEL_QUICK` set, what takes long to be had is left out. */
const isQuick = process.env["EVENKEEL_QUICK"] === "1"

/** Where a program is. A test that cannot have its own says so, and is skipped. */
export const tool = async (name: keyof typeof tools, test: TestContext): Promise<string> => {
  const isLeftOut = isQuick && name !== "esbuild"
  const path = isLeftOut ? undefined : await have(name)
  if (path !== undefined) return path
  const why = isLeftOut ? `EVENKEEL_QUICK leaves ${name} out` : `${name} cannot be had here`
  console.warn(`${why}: skipped "${test.task.name}"`)
  return test.skip(why)
}
