import { ConfigSchema } from "#core/config/ConfigSchema"
import * as ConfigSource from "#node/ConfigSource"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { check } from "../support/Check.ts"

const secret = "hunter2-Secret"

const yaml = `
resources:
  - name: east # a comment
    provider: azure
    endpoint: https://\${RESOURCE}.openai.azure.com
    apiKey: \${EAST_KEY}
    deployments:
      - { name: gpt-4o, tpm: 300000, tier: 2 }
      - name: gpt-4o-ptu
        model: gpt-4o
        provisioned: "\${PTU:-true}"
        rpm: "\${RPM}"
timeouts:
  total: \${TOTAL:-2 minutes}
`
const variables = { RESOURCE: "my-east", EAST_KEY: secret, RPM: "60", EVENKEEL_CONFIG: yaml }

const read = (environment: ConfigSource.Environment) => Result.getOrThrow(ConfigSource.read(environment))

const errorOf = (environment: ConfigSource.Environment): ConfigSource.ConfigSourceError => {
  const result = ConfigSource.read(environment)
  if (Result.isSuccess(result)) throw new Error("expected an error")
  assert.isNotEmpty(result.failure.issues)
  for (const text of [result.failure.message, inspect(result.failure), JSON.stringify(result.failure)]) {
    assert.notInclude(text, secret)
  }
  return result.failure
}

const issuesOf = (environment: ConfigSource.Environment): ReadonlyArray<string> =>
  errorOf(environment).issues.map(({ message, path }) => path === "" ? message : `${path}: ${message}`)

const keyOf = (config: ReturnType<typeof read>, index = 0): string => {
  const { auth } = config.resources[index]!
  return auth._tag === "Key" ? Redacted.value(auth.key) : auth._tag
}

const withRpm = (rpm: string) =>
  `resources:\n  - { name: o, provider: openai, apiKey: k, deployments: [{ name: x, rpm: "${rpm}" }] }`

/** Runs with a file of that name, in a folder of its own. */
const withFile = (name: string, content: string, use: (path: string) => void): void => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-"))
  try {
    writeFileSync(join(folder, name), content)
    use(join(folder, name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe("EVENKEEL_CONFIG", () => {
  it("takes the text of YAML, with references", () => {
    const config = read(variables)
    const [resource] = config.resources
    assert.strictEqual(resource!.endpoint, "https://my-east.openai.azure.com")
    assert.strictEqual(keyOf(config), secret)
    assert.deepInclude(resource!.deployments[0], { name: "gpt-4o", tpm: 300_000, tier: 2 })
    assert.deepInclude(resource!.deployments[1], { model: "gpt-4o", provisioned: true, rpm: 60 })
    assert.strictEqual(config.timeouts.total, 120_000)
  })

  it("takes the text of JSON, with references", () => {
    const json = {
      resources: [{ name: "o", provider: "openai", apiKey: "${KEY}", deployments: [{ name: "*", rpm: "${RPM}" }] }]
    }
    const config = read({ EVENKEEL_CONFIG: JSON.stringify(json), KEY: secret, RPM: "7" })
    assert.strictEqual(keyOf(config), secret)
    assert.strictEqual(config.resources[0]!.deployments[0]!.rpm, 7)
  })

  it("takes one line of YAML and flow collections", () => {
    const flow = `{ resources: [{ name: o, provider: openai, apiKey: "\${KEY}" }] }`
    assert.strictEqual(keyOf(read({ EVENKEEL_CONFIG: flow, KEY: secret })), secret)
    assert.strictEqual(keyOf(read({ EVENKEEL_CONFIG: flow.slice(2, -2), KEY: secret })), secret)
  })

  it("takes the path of a file, whatever the environment has besides", () => {
    withFile("evenkeel.yaml", yaml, (path) => {
      const config = read({ ...variables, EVENKEEL_CONFIG: path, AZURE_OPENAI_ENDPOINT: "x", OPENAI_API_KEY: "y" })
      assert.strictEqual(config.resources[0]!.name, "east")
    })
    withFile("config.json", `{"resources":[{"name":"o","provider":"openai","apiKey":"\${KEY}"}]}`, (path) => {
      assert.strictEqual(keyOf(read({ EVENKEEL_CONFIG: path, KEY: secret })), secret)
    })
  })

  it("names the file that is wrong", () => {
    withFile("evenkeel.yaml", "resources: []", (path) => {
      const error = errorOf({ EVENKEEL_CONFIG: path })
      assert.strictEqual(error.source, path)
      assert.include(error.message, "resources: expected a list with at least one resource")
    })
  })

  it("says what was tried when there is no such file", () => {
    const [named] = issuesOf({ EVENKEEL_CONFIG: "nowhere/evenkeel.yaml" })
    assert.include(
      named!,
      `was taken as the name of the file "nowhere/evenkeel.yaml": no such file exists, seen from ${process.cwd()}`
    )
    const [unnamed] = issuesOf({ EVENKEEL_CONFIG: secret })
    assert.include(unnamed!, "has one line and does not begin with `{`: no such file exists")
    assert.include(issuesOf({ EVENKEEL_CONFIG: tmpdir() })[0]!, "it is not a file")
  })

  it("never lets a value break the syntax or add structure", () => {
    for (
      const value of [
        `x"\n  tpm: 1\n#`,
        "{ a: b }",
        "[1, 2]",
        "*alias",
        "&anchor x",
        "!!tag",
        "a: b",
        "${EAST_KEY}",
        "null",
        "$&"
      ]
    ) {
      const config = read({
        EVENKEEL_CONFIG:
          "resources:\n  - name: o\n    provider: openai\n    apiKey: k\n    deployments:\n      - name: ${NAME:-x}\n",
        NAME: value.replaceAll("\n", " "),
        EAST_KEY: secret
      })
      assert.strictEqual(config.resources[0]!.deployments[0]!.name, value.replaceAll("\n", " "))
    }
  })

  it("replaces several references in a text, defaults and escapes", () => {
    const text =
      "resources:\n  - name: '${A}-${B:-b}-$${C}'\n    provider: openai\n    apiKey: k\n    region: ${EMPTY:-none}\n"
    const [resource] = read({ EVENKEEL_CONFIG: text, A: "a", EMPTY: "" }).resources
    assert.strictEqual(resource!.name, "a-b-${C}")
    assert.strictEqual(resource!.region, "none")
  })

  it("reports missing variables beside every other mistake", () => {
    assert.deepStrictEqual(issuesOf({ EVENKEEL_CONFIG: yaml.replace("tier: 2", "tyer: 2"), RESOURCE: "", RPM: "no" }), [
      "resources[0].endpoint: the variable RESOURCE is empty; set it, or write `${RESOURCE:-default}`",
      "resources[0].apiKey: the variable EAST_KEY is not set; set it",
      "resources[0].deployments[0].tyer: unknown key; did you mean `tier`?",
      "resources[0].deployments[1].rpm: expected a number above 0, found the value of ${RPM}"
    ])
    assert.include(
      issuesOf({ EVENKEEL_CONFIG: "resources: '${1}'\nquota: '${X'" })[0]!,
      "resources: has a `${` that is no reference"
    )
  })

  it("takes the prices of a deployment from YAML and JSON, with references", () => {
    const price = { input: 2.5, output: 10, longContext: { above: 272_000, input: 5, output: 15 } }
    const yaml = `
resources:
  - name: o
    provider: openai
    apiKey: k
    deployments:
      - name: x
        price:
          input: 2.5
          output: \${OUTPUT}
          longContext: { above: 272000, input: 5, output: "\${LONG:-15}" }
          serviceTiers:
            priority: { input: 5, output: 20 }
`
    const json = JSON.stringify({
      resources: [{
        name: "o",
        provider: "openai",
        apiKey: "k",
        deployments: [{
          name: "x",
          price: { ...price, output: "${OUTPUT}", serviceTiers: { priority: { input: 5, output: 20 } } }
        }]
      }]
    })
    for (const text of [yaml, json]) {
      const config = read({ EVENKEEL_CONFIG: text, OUTPUT: "10" })
      assert.deepStrictEqual(config.resources[0]!.deployments[0]!.price, {
        ...price,
        serviceTiers: { priority: { input: 5, output: 20 } }
      })
    }
    assert.deepStrictEqual(issuesOf({ EVENKEEL_CONFIG: yaml, OUTPUT: "-1" }), [
      "resources[0].deployments[0].price.output: expected a number of 0 or more, found the value of ${OUTPUT}"
    ])
  })

  it("takes numbers as text from a whole reference only", () => {
    assert.strictEqual(read({ EVENKEEL_CONFIG: withRpm("${RPM}"), RPM: "5" }).resources[0]!.deployments[0]!.rpm, 5)
    assert.lengthOf(issuesOf({ EVENKEEL_CONFIG: withRpm("${RPM}0"), RPM: "5" }), 1)
    assert.lengthOf(issuesOf({ EVENKEEL_CONFIG: withRpm("5") }), 1)
    // a name made of digits stays a text
    const digits = read({ EVENKEEL_CONFIG: withRpm("${RPM}").replace("name: o", "name: \"${RPM}\""), RPM: "5" })
    assert.strictEqual(digits.resources[0]!.name, "5")
  })

  it.each(["{ name: m, rpm: ${RPM} }", "{ name: m, rpm: ${RPM}, tpm: 5 }"])(
    "says that a reference in braces is to be quoted (%#)",
    (deployment) => {
      const text =
        `resources:\n  - name: o\n    provider: openai\n    apiKey: k\n    deployments:\n      - ${deployment}\n`
      assert.include(issuesOf({ EVENKEEL_CONFIG: text, RPM: "5" }).join("\n"), "must be quoted: \"${NAME}\"")
    }
  )

  it.each([
    ["resources:\n  - name: a\n   provider: azure\n", "is not YAML: unexpected indentation of 3 spaces on line 3"],
    ["resources:\n\t- name: a\n", "is not YAML: tabs cannot be used for YAML indentation on line 2"],
    ["a: 1\na: 2\n", "is not YAML: duplicate key 'a' on line 2"],
    [`resources:\n  - name: a\n    apiKey: *${secret}\n    x: 1`, "is not YAML: unknown YAML alias on line 3"],
    [`resources:\n  - name: "a\n    apiKey: ${secret}\n`, "is not YAML: invalid quoted scalar indentation on line 3"],
    [`resources:\n  - name: a\n    apiKey: "${secret}\n`, "is not YAML: unterminated quoted YAML scalar on line 3"],
    [`resources: [\n  { name: a, "${secret} }\n]\n`, "is not YAML: "],
    [`{\n  "resources": [\n    { "apiKey": "${secret}" ]\n}`, "is not JSON: syntax error on line 3"],
    [`{"resources": [{"apiKey": "${secret}"}`, "is not JSON: syntax error on line 1"]
  ])("says where the syntax breaks, and shows nothing of the text (%#)", (text, expected) => {
    const [issue, ...rest] = issuesOf({ EVENKEEL_CONFIG: text.includes("\n") ? text : `${text}\n` })
    assert.isEmpty(rest)
    assert.isTrue(issue!.startsWith(expected), issue)
  })

  it("is not blown up by aliases", () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for (let i = 1; i < 12; i++) {
      lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(", ")}]`)
    }
    const issues = issuesOf({ EVENKEEL_CONFIG: lines.join("\n") })
    assert.include(issues.join("\n"), "holds more than 100,000 values")
  })
})

describe("the environment alone", () => {
  const azure = {
    AZURE_OPENAI_ENDPOINT: "https://my-east.openai.azure.com/",
    AZURE_OPENAI_DEPLOYMENTS: "gpt-4o, mini = gpt-4o-mini,"
  }

  it("gives one Azure resource", () => {
    const config = read({
      ...azure,
      AZURE_OPENAI_API_KEY: secret,
      AZURE_OPENAI_API_VERSION: "2024-10-21",
      OPENAI_API_KEY: "x"
    })
    const [resource, ...others] = config.resources
    assert.isEmpty(others)
    assert.strictEqual(keyOf(config), secret)
    assert.deepInclude(resource, {
      provider: "azure",
      endpoint: "https://my-east.openai.azure.com",
      apiVersion: "2024-10-21"
    })
    assert.deepStrictEqual(resource!.deployments.map(({ model, name }) => [name, model]), [
      ["gpt-4o", "gpt-4o"],
      ["mini", "gpt-4o-mini"]
    ])
  })

  it("uses Entra ID without a key, and the v1 API without a version", () => {
    const config = read({ ...azure, OPENAI_API_VERSION: "2024-10-21", OPENAI_BASE_URL: "https://elsewhere.example" })
    assert.strictEqual(keyOf(config), "Entra")
    assert.isUndefined(config.resources[0]!.apiVersion)
  })

  it("gives one OpenAI resource that serves every model, where nothing of Azure is set", () => {
    const config = read({
      OPENAI_API_KEY: secret,
      OPENAI_BASE_URL: "https://elsewhere.example",
      OPENAI_ORG_ID: "o",
      EVENKEEL_CONFIG: " "
    })
    assert.strictEqual(keyOf(config), secret)
    assert.strictEqual(config.resources[0]!.endpoint, "https://api.openai.com/v1")
    assert.deepStrictEqual(config.resources[0]!.deployments.map(({ name }) => name), ["*"])
  })

  it.each([
    [{ AZURE_OPENAI_API_KEY: secret }, ["AZURE_OPENAI_ENDPOINT: is missing", "AZURE_OPENAI_DEPLOYMENTS: is missing"]],
    [{ AZURE_OPENAI_ENDPOINT: azure.AZURE_OPENAI_ENDPOINT }, ["AZURE_OPENAI_DEPLOYMENTS: is missing"]],
    [{ AZURE_OPENAI_ENDPOINT: "" }, ["AZURE_OPENAI_ENDPOINT: is empty", "AZURE_OPENAI_DEPLOYMENTS: is missing"]],
    [{ ...azure, AZURE_OPENAI_API_KEY: "" }, ["AZURE_OPENAI_API_KEY: is empty: give the resource's key, or unset it"]],
    [{ ...azure, AZURE_OPENAI_API_KEY: `${secret} x` }, ["AZURE_OPENAI_API_KEY: expected the key"]],
    [{ ...azure, AZURE_OPENAI_API_VERSION: secret }, ["AZURE_OPENAI_API_VERSION: expected a date"]],
    [{ ...azure, AZURE_OPENAI_ENDPOINT: `http://${secret}` }, [
      "AZURE_OPENAI_ENDPOINT: the value of AZURE_OPENAI_ENDPOINT is plain http"
    ]],
    [
      { AZURE_OPENAI_DEPLOYMENT_NAME: secret },
      ["AZURE_OPENAI_ENDPOINT: is", "AZURE_OPENAI_DEPLOYMENTS: is", "set, but not read: AZURE_OPENAI_DEPLOYMENT_NAME"]
    ],
    [{ ...azure, AZURE_OPENAI_DEPLOYMENTS: `a=b=${secret},a,a` }, [
      "AZURE_OPENAI_DEPLOYMENTS: entry 1 is neither",
      "AZURE_OPENAI_DEPLOYMENTS: entry 3 repeats"
    ]],
    [{ ...azure, AZURE_OPENAI_DEPLOYMENTS: "=x" }, ["AZURE_OPENAI_DEPLOYMENTS: entry 1 is neither"]],
    [{ ...azure, AZURE_OPENAI_DEPLOYMENTS: "," }, ["AZURE_OPENAI_DEPLOYMENTS: has no entry"]],
    [{ ...azure, AZURE_OPENAI_DEPLOYMENTS: "*" }, ["AZURE_OPENAI_DEPLOYMENTS: Azure answers under"]],
    [
      { ...azure, AZURE_OPENAI_API_KEY: undefined, AZURE_OPENAI_KEY: secret },
      ["AZURE_OPENAI_KEY: is not read; did you mean AZURE_OPENAI_API_KEY?", "set, but not read: AZURE_OPENAI_KEY"]
    ],
    [{ OPENAI_API_KEY: `${secret}\n${secret}` }, ["OPENAI_API_KEY: expected the key"]]
  ])("never falls back from Azure, and names what is wrong (%#)", (environment, starts) => {
    // an OpenAI key that lies about changes nothing
    const issues = issuesOf({ OPENAI_API_KEY: secret, ...environment })
    assert.lengthOf(issues, starts.length, issues.join("\n"))
    for (const [index, start] of starts.entries()) assert.isTrue(issues[index]!.startsWith(start), issues[index])
  })

  it("shows the three ways when nothing is set", () => {
    const error = errorOf({})
    assert.strictEqual(error.source, "the environment")
    for (const name of ["EVENKEEL_CONFIG", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENTS", "OPENAI_API_KEY"]) {
      assert.include(error.message, name)
    }
  })

  it.effect("loads as an effect", () =>
    Effect.gen(function*() {
      const config = yield* ConfigSource.loadFrom({ OPENAI_API_KEY: secret })
      assert.strictEqual(config.defaultResource, "openai")
      const error = yield* Effect.flip(ConfigSource.loadFrom({}))
      assert.strictEqual(error._tag, "ConfigSourceError")
    }))
})

describe("any environment", () => {
  it.prop("takes any text", [Schema.String, Schema.String], ([head, tail]) => {
    for (const text of [head, `${head}\n${tail}`, `{${head}`, `resources:\n  - name: ${head}\n    apiKey: ${tail}`]) {
      const result = ConfigSource.read({ EVENKEEL_CONFIG: text.replaceAll("\0", ""), EAST_KEY: secret })
      assert.isTrue(Result.isSuccess(result) || result.failure.message !== "")
    }
  }, check())

  it.prop("shows no content of any variable", [
    Schema.Struct({ key: Schema.Boolean, list: Schema.Boolean, more: Schema.String })
  ], ([{ key, list, more }]) => {
    const value = `${secret}${more}`
    const result = ConfigSource.read({
      AZURE_OPENAI_ENDPOINT: value,
      ...(key ? { AZURE_OPENAI_API_KEY: value } : {}),
      ...(list ? { AZURE_OPENAI_DEPLOYMENTS: value } : {})
    })
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.notInclude(result.failure.message, secret)
    for (
      const place of ["name", "provider", "endpoint", "apiKey", "region", "apiVersion", "auth", "scope", "deployments"]
    ) {
      const text =
        `resources:\n  - ${place}: \${V}\n  - { name: "\${V}", provider: openai, deployments: [{ name: "\${V}" }, { name: "\${V}" }] }`
      const error = ConfigSource.read({ EVENKEEL_CONFIG: text, V: value })
      assert.isTrue(Result.isFailure(error))
      if (Result.isFailure(error)) assert.notInclude(error.failure.message, secret)
    }
  }, check())
})

/** Every key that the schema knows. */
const keysOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  if (SchemaAST.isUnion(ast)) return ast.types.flatMap(keysOf)
  if (SchemaAST.isArrays(ast)) return ast.rest.flatMap(keysOf)
  if (!SchemaAST.isObjects(ast)) return []
  return [
    ...ast.propertySignatures.flatMap(({ name, type }) => [String(name), ...keysOf(type)]),
    ...ast.indexSignatures.flatMap(({ type }) => keysOf(type))
  ]
}

describe("docs/configuration.md", () => {
  const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8")

  it("has a row for every key", () => {
    const keys = keysOf(ConfigSchema.ast)
    assert.isAbove(keys.length, 50)
    for (const key of keys) assert.match(page, new RegExp(`^\\| \`${key}\` +\\|`, "m"), key)
  })

  it("shows a file that loads", () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(page)![1]!
    const config = read({ EVENKEEL_CONFIG: example, EAST_KEY: secret })
    assert.deepStrictEqual(config.resources.map(({ name }) => name), ["eastus", "sweden"])
    assert.strictEqual(config.resources[0]!.deployments[1]!.tpm, 300_000)
    assert.strictEqual(config.modelTimeouts["o3"]!.firstContent, 600_000)
  })

  it("shows mistakes in the words that are really used", () => {
    const text = `
resources:
  - name: eastus
    provider: azure
    endpoint: https://my-east.openai.azure.com/openai/deployments/gpt-4o
    apiKey: ${secret}
    deployments:
      - { name: gpt-4o, TPM: 5 }
      - { name: gpt-4o, tpm: -5 }
  - { name: sweden, provider: azur, apiKey: "\${SWEDEN_KEY}" }
defaultResource: eastu
timeouts: { total: 10s }
`
    const azure = errorOf({ AZURE_OPENAI_ENDPOINT: "https://my-east.openai.azure.com" })
    assert.include(page, errorOf({ EVENKEEL_CONFIG: text }).message.replace("EVENKEEL_CONFIG", "evenkeel.yaml"))
    assert.include(page, azure.message)
  })
})
