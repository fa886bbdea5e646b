/**
 * A user's project: a folder outside this workspace, where the packages are installed from their tarballs by name.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inject } from "vitest"
import { type Finished, pnpm, root, run } from "./Run.ts"

export interface Project extends AsyncDisposable {
  readonly folder: string
  /** Runs a command in it. */
  readonly run: (
    command: string,
    args: ReadonlyArray<string>,
    env?: Readonly<Record<string, string>>
  ) => Promise<Finished>
  /** Runs a command in it that must not fail. */
  readonly must: (command: string, ...args: ReadonlyArray<string>) => Promise<string>
  readonly write: (files: Readonly<Record<string, string>>) => Promise<void>
}

/** Makes one, with nothing installed. */
export const makeProject = async (files: Readonly<Record<string, string>> = {}): Promise<Project> => {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-user-"))
  const own = await run("npm", ["config", "get", "registry"], { cwd: folder })
  const project: Project = {
    folder,
    run: (command, args, env) =>
      command === "pnpm" ? pnpm(args, { cwd: folder, env }) : run(command, args, { cwd: folder, env }),
    must: async (command, ...args) => {
      const { code, errors, out } = await project.run(command, args)
      if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${out}\n${errors}`)
      return out
    },
    write: async (files) => {
      await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)))
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true })
  }
  await project.write({
    "package.json": JSON.stringify({ name: "user", private: true }),
    // Bun and Deno read no other
    ".npmrc": `registry=${own.out.trim()}\n@evenkeel:registry=${inject("registry")}/\n`,
    ...files
  })
  return project
}

/** Installs packages by npm. */
export const npmInstall = (project: Project, ...names: ReadonlyArray<string>): Promise<string> =>
  project.must("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", ...names)

/** The program of a package's README. */
export const programOf = async (name: "core" | "node" | "otel"): Promise<string> => {
  const readme = await readFile(join(root, "packages", name, "README.md"), "utf8")
  return /^```ts\n(.*?)^```/ms.exec(readme)![1]!
}

/** A program in one function, as where a file cannot wait. */
export const commonJs = `
const { createLoadBalancerFromEnvironment } = require("@evenkeel/node")
const main = async () => {
  const lb = createLoadBalancerFromEnvironment()
  const answer = await lb.openai.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Hi." }] })
  console.log(answer.choices[0].message.content)
  await lb.close()
}
main()
`

/** What a program prints that asks the simulated service. */
export const greeting = /^Hello from (?:eastus|sweden)\.\n$/
