import { afterAll, assert, describe, it } from "@effect/vitest"
import { startSimulator } from "@evenkeel/node"
import { spawn, spawnSync } from "node:child_process"
import { chmodSync } from "node:fs"
import { delimiter } from "node:path"
import { evenkeelConfig, type Finished, run, startTwo, variables } from "../examples/support.ts"
import { Folder, named } from "../otel/Tools.ts"
import { blocksNamed, blocksOf, namesIn, textOf } from "./Pages.ts"
import { isThere, startGateway } from "./Programs.ts"
// oxlint-disable-next-line import/no-unassigned-import -- its tests are what is wanted of it
import "../../examples/guides/greeter.test.ts"

/** One after the other: each starts processes of its own. */
const limit = { timeout: 60_000, concurrent: false }

const page = (name: string): string => textOf(`docs/guides/${name}`)

const hasPython = isThere("python3", ["--version"])
const hasOpenAI = hasPython && isThere("python3", ["-c", "import openai"])
const hasCurl = isThere("curl", ["--version"])

/** Says hello, or describes a ship where an object is asked for. */
const reply = ({ body }: { readonly body: unknown }): string =>
  JSON.stringify(body).includes("json_schema") ? `{ "name": "Vasa", "length": 69 }` : "Hello, sailor."

describe("the program of a guide", limit, () => {
  it("in plain TypeScript streams an answer", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await run("guides/plain-typescript.ts", evenkeelConfig(simulator))
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("in plain TypeScript says when to come back", async () => {
    await using simulator = await startTwo()
    for (const { name } of simulator.resources) {
      simulator.service(name).fault("*", { kind: "throttle", retryAfterMs: 120_000 })
    }
    const { code, errors } = await run("guides/plain-typescript.ts", evenkeelConfig(simulator))
    assert.match(errors, /^Everything is throttled; again in 1\d\d s\.$/m)
    assert.strictEqual(code, 1)
  })

  it("in Effect greets", async () => {
    await using simulator = await startTwo()
    const { code, errors, out } = await run("guides/effect.ts", evenkeelConfig(simulator))
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("over Effect's LanguageModel has a text, an object and a stream", async () => {
    await using simulator = await startSimulator({
      resources: [{ name: "east", deployments: [{ name: "gpt-4o", reply }] }]
    })
    const { code, errors, out } = await run("guides/language-model.ts", evenkeelConfig(simulator))
    assert.match(out, /^Hello, sailor\. \(\d+ tokens\)\nVasa is 69 m long\.\nHello, sailor\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })
})

/** Azure's command line in this folder, which is signed in. */
const signedIn = (folder: Folder): Record<string, string> => {
  const expiry = Math.floor(Date.now() / 1000) + 3600
  const answer = JSON.stringify({ accessToken: "token-of-az", expires_on: expiry, tokenType: "Bearer" })
  chmodSync(folder.write("az", `#!/bin/sh\necho '${answer}'\n`), 0o755)
  return { PATH: `${folder.path}${delimiter}${process.env["PATH"]}` }
}

const startWithTokens = () =>
  startSimulator({
    resources: ["eastus", "sweden"].map((name) => ({
      name,
      bearerTokens: ["token-of-az"],
      deployments: [{ name: "gpt-4o", reply: () => `Hello from ${name}.` }]
    }))
  })

describe("Entra ID", limit, () => {
  it("lets the configuration of its guide in, by the real @azure/identity", async () => {
    using folder = new Folder()
    await using simulator = await startWithTokens()
    const [yaml = ""] = blocksNamed(page("entra-id.md"), "yaml", "# evenkeel.yaml")
    const urls = simulator.resources.map(({ url }) => url)
    const own = yaml.replaceAll(/https:\S+azure\.com/g, () => urls.shift()!)
    assert.strictEqual(urls.length, 0)
    const { code, errors, out } = await run("guides/plain-typescript.ts", {
      ...signedIn(folder),
      AZURE_TOKEN_CREDENTIALS: "AzureCliCredential",
      EVENKEEL_CONFIG: folder.write("evenkeel.yaml", own)
    })
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it("lets in the program with a credential of its own", async () => {
    using folder = new Folder()
    await using simulator = await startWithTokens()
    const { code, errors, out } = await run("guides/entra-id.ts", { ...variables(simulator), ...signedIn(folder) })
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })
})

describe("Python and curl", limit, () => {
  const keys = { EVENKEEL_KEY: "key-of-team-a", OPERATOR_KEY: "key-of-the-operator" }

  /** The gateway of the page before two simulated resources. */
  const start = async () => {
    const simulator = await startTwo()
    const [yaml = ""] = blocksNamed(page("python-and-curl.md"), "yaml", "# evenkeel.yaml")
    const gateway = await startGateway(yaml, { ...variables(simulator), ...keys })
    return {
      gateway,
      simulator,
      [Symbol.asyncDispose]: async () => {
        await gateway[Symbol.asyncDispose]()
        await simulator.close()
      }
    }
  }

  let starting: ReturnType<typeof start> | undefined
  afterAll(async () => (await starting)?.[Symbol.asyncDispose]())

  /** One for all who ask. */
  const started = () => starting ??= start()

  /** Runs a text of the page, with the gateway's own address in it. */
  const runText = (program: string, args: ReadonlyArray<string>, text: string, url: string): Promise<Finished> =>
    new Promise((resolve, reject) => {
      const child = spawn(program, [...args, text.replaceAll("http://127.0.0.1:4000", url)], {
        env: { PATH: process.env["PATH"], ...keys },
        stdio: ["ignore", "pipe", "pipe"],
        timeout: 40_000
      })
      let out = ""
      let errors = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => out += chunk)
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => errors += chunk)
      child.on("error", reject)
      child.on("close", (code) => resolve({ code, out, errors }))
    })

  it.skipIf(!hasCurl)(named("asks by curl", hasCurl, "curl"), async () => {
    const { gateway } = await started()
    const text = blocksOf(page("python-and-curl.md")).find(({ language }) => language === "sh")!.text
    const { code, out } = await runText("sh", ["-ec"], text, gateway.url)
    assert.match(out, /"content":\s*"Hello from (eastus|sweden)\."/)
    assert.match(out, /data: \[DONE\]/)
    assert.match(out, /gpt-4o would go to (eastus|sweden)\/gpt-4o|"text":"/)
    assert.strictEqual(code, 0)
  })

  it.skipIf(!hasCurl)(named("shows what the index asks for", hasCurl, "curl"), async () => {
    const { gateway } = await started()
    const text = blocksOf(page("README.md")).find(({ language }) => language === "sh")!.text
    const asked = text.replaceAll("curl -s", `curl -s -H "authorization: Bearer $OPERATOR_KEY"`)
    const { code, out } = await runText("sh", ["-ec"], asked, gateway.url)
    for (const word of ["\"explanation\":", "\"status\":\"ready\"", "\"deployments\":"]) assert.include(out, word)
    assert.strictEqual(code, 0)
  })

  it.skipIf(!hasOpenAI)(named("asks by the official client of Python", hasOpenAI, "openai for Python"), async () => {
    const { gateway } = await started()
    const [text = ""] = blocksNamed(page("python-and-curl.md"), "python", "import os")
    const { code, errors, out } = await runText("python3", ["-c"], text, gateway.url)
    assert.match(out, /^Hello from (eastus|sweden)\.\nHello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })

  it.skipIf(!hasOpenAI)(named("asks as who moved over does", hasOpenAI, "openai for Python"), async () => {
    const { gateway } = await started()
    const [text = ""] = blocksNamed(page("from-openai-priority-loadbalancer.md"), "python", "# with Evenkeel")
    const { code, errors, out } = await runText("python3", ["-c"], text, gateway.url)
    assert.match(out, /^Hello from (eastus|sweden)\.\n$/)
    assert.deepStrictEqual([code, errors], [0, ""])
  })
})

describe("what is of another system", () => {
  it.skipIf(!hasPython)(named("is Python where it says so", hasPython, "python3"), () => {
    const texts = namesIn("docs/guides/", ".md").flatMap((name) =>
      blocksOf(page(name)).flatMap(({ language, text }) => language === "python" ? [[name, text]] : [])
    )
    const program = "import ast, json, sys\nfor name, text in json.load(sys.stdin): ast.parse(text, name)"
    const { status, stderr } = spawnSync("python3", ["-c", program], { input: JSON.stringify(texts), encoding: "utf8" })
    assert.isAbove(texts.length, 0)
    assert.strictEqual(status, 0, stderr)
  })

  it("is beside ours in every table of a page on how to move", () => {
    for (const name of namesIn("docs/guides/", ".md").filter((name) => name.startsWith("from-"))) {
      const text = page(name)
      assert.match(text, /README\.md#check-that-it-works/, name)
      assert.match(text, /\| Evenkeel +\| what differs/, name)
      assert.match(text, /Source|newest commit/, name)
    }
  })
})
