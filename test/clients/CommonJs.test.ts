import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import clients from "./package.json" with { type: "json" }

const run = promisify(execFile)
const root = fileURLToPath(new URL("../../", import.meta.url))
const pnpm = ["-y", "pnpm@12.21.0"]

describe("a CommonJS program outside the workspace, on the packed packages", { timeout: 120_000 }, () => {
  it("has types and classes of its own client, given as the option `openai`", async () => {
    const folder = await mkdtemp(join(tmpdir(), "evenkeel-commonjs-"))
    try {
      const pack = (name: string) =>
        run("npx", [...pnpm, "pack", "--pack-destination", folder], { cwd: join(root, "packages", name) })
      await Promise.all(["core", "node"].map(pack))
      const tarballs = (await readdir(folder)).filter((name) => name.endsWith(".tgz"))
      const packed = Object.fromEntries(
        tarballs.map((file) => [file.replace(/^evenkeel-(\w+)-.*$/, "@evenkeel/$1"), `file:./${file}`])
      )
      const dependencies = { ...packed, effect: "4.1.0", openai: clients.dependencies.openai }
      const compilerOptions = {
        module: "nodenext",
        target: "es2023",
        lib: ["es2024", "dom", "esnext.disposable"],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: true,
        types: []
      }
      await Promise.all([
        writeFile(join(folder, "package.json"), JSON.stringify({ name: "program", private: true, dependencies })),
        // what one packed package needs of the other is here too, and in no registry
        writeFile(join(folder, "pnpm-workspace.yaml"), JSON.stringify({ packages: ["."], overrides: packed })),
        writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.cts"] })),
        cp(new URL("commonjs/program.cts", import.meta.url), join(folder, "program.cts"))
      ])
      await run("npx", [...pnpm, "install", "--ignore-scripts", "--prefer-offline"], { cwd: folder })
      await run(join(root, "node_modules/.bin/tsc"), ["-p", folder])
      const { stderr, stdout } = await run(process.execPath, [join(folder, "program.cjs")], { cwd: folder })
      assert.deepStrictEqual([stdout, stderr], ["true Hello from here.\ntrue model_not_found\n", ""])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
