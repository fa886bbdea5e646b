import { evenkeel } from "#node/cli/Evenkeel"
import { SimulatorConfig } from "#node/simulator/SimulatorConfig"
import { assert, describe, it } from "@effect/vitest"
import * as SchemaAST from "effect/SchemaAST"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runEvenkeel, startEvenkeel } from "../../support/Child.ts"

const page = readFileSync(new URL("../../../docs/commands.md", import.meta.url), "utf8")

/** What the page shows of a command, in this folder. */
const shown = (command: string): string => {
  const [, output] = page.split(`\`\`\`console\n$ evenkeel ${command}\n`)
  assert.isDefined(output, command)
  return output!.split("```", 1)[0]!
}

/** Blocks of YAML, in their order. */
const [written, simulated] = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!)

/** Without what differs each time: ports, durations, keys, and how many spaces these take. */
const steady = (text: string): string => {
  const ports = [...new Set(text.match(/(?<=127\.0\.0\.1:)\d+/g))]
  return text
    .replaceAll(/(?<=127\.0\.0\.1:)\d+/g, (port) => `port-${ports.indexOf(port)}`)
    .replaceAll(/\d+ ms/g, "… ms")
    .replaceAll(/ek-[\w-]{43}/g, "ek-…")
    .replaceAll(/[0-9a-f]{64}/g, "hash")
    .replaceAll(/ +/g, " ")
}

const same = (output: string, command: string): void => assert.strictEqual(steady(output), steady(shown(command)))

const withFolder = async (use: (folder: string) => Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const keysOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  if (SchemaAST.isUnion(ast)) return ast.types.some(SchemaAST.isLiteral) ? [] : ast.types.flatMap(keysOf)
  if (SchemaAST.isArrays(ast)) return ast.rest.flatMap(keysOf)
  // faults are told of elsewhere
  if (!SchemaAST.isObjects(ast) || ast.propertySignatures.some(({ name }) => name === "kind")) return []
  return ast.propertySignatures.flatMap(({ name, type }) => [String(name), ...keysOf(type)])
}

describe("docs/commands.md", { concurrent: false }, () => {
  it("has every command, and every key of a file to simulate", () => {
    const commands = evenkeel.subcommands.flatMap(({ commands }) => commands)
    assert.isAbove(commands.length, 4)
    for (const { name } of commands) assert.match(page, new RegExp(`^\\| \\[?\`evenkeel ${name}\``, "m"))
    const keys = keysOf(SimulatorConfig.ast)
    assert.isAbove(keys.length, 40)
    for (const key of keys) assert.match(page, new RegExp(`\`${key}\`|\\b${key}:`), key)
  })

  it("shows what init writes", () =>
    withFolder(async (cwd) => {
      const { stdout } = await runEvenkeel(["init", "--yes"], {
        AZURE_OPENAI_ENDPOINT: "https://my-east.openai.azure.com",
        AZURE_OPENAI_API_KEY: "secret",
        AZURE_OPENAI_DEPLOYMENTS: "gpt-4o,my-mini=gpt-4o-mini"
      }, cwd)
      same(stdout, "init --yes")
      assert.strictEqual(readFileSync(join(cwd, "evenkeel.yaml"), "utf8"), written)
    }))

  it("shows what simulate and check print", () =>
    withFolder(async (cwd) => {
      writeFileSync(join(cwd, "sim.yaml"), simulated!.replaceAll(/port: \d+/g, "port: 0"))
      const simulating = startEvenkeel(["simulate", "--file", "sim.yaml"], {}, cwd)
      const output = await simulating.said(/consume.*\n/)
      same(output, "simulate --file sim.yaml")
      const [, config] = /^(resources:[\s\S]*?)\n\n/m.exec(output)!
      writeFileSync(
        join(cwd, "evenkeel.yaml"),
        config!
          .replace("sweden-key", "a-wrong-key")
          .replace("  - name: sweden", "      - name: o3-mini\n  - name: sweden")
      )
      const checked = await runEvenkeel(["check", "--config", "evenkeel.yaml", "--completion"], {}, cwd)
      same(checked.stdout, "check --config evenkeel.yaml --completion")
      simulating.child.kill("SIGTERM")
      await simulating.ended
    }))

  it("shows what key prints", async () => same((await runEvenkeel(["key"])).stdout, "key"))
})
