import * as Config from "#core/config/Config"
import type { ConfigSchema } from "#core/config/ConfigSchema"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import { check } from "../support/Check.ts"

// what users type and what the schema takes are the same type, both ways
type Encoded = typeof ConfigSchema.Encoded
const typed: (input: Config.ConfigInput) => Encoded = (input) => input
const typedBack: (input: Encoded) => Config.ConfigInput = (input) => input

const secret = "sk-proj-4f8A1c0E9b7D6a5F4e3D2c1B0a9F8e7D"
const azureKey = "0123456789abcdef0123456789abcdef"

const deployment = { name: "gpt-4o", tpm: 300_000, rpm: 1_800 }
const azure: Config.ResourceInput = {
  name: "east",
  provider: "azure",
  endpoint: "https://my-east.openai.azure.com",
  apiKey: secret,
  deployments: [deployment]
}
const openai: Config.ResourceInput = { name: "oai", provider: "openai", apiKey: secret }
const compatible: Config.ResourceInput = {
  name: "local",
  provider: "compatible",
  endpoint: "http://localhost:8000/v1",
  deployments: [{ name: "*" }]
}

const certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
const privateKey = `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`
/** How a resource behind a company's gateway and proxy is reached. */
const reached = {
  headers: { "Ocp-Apim-Subscription-Key": secret, "x-team": Redacted.make(secret) },
  proxy: `http://user:${secret}@proxy.example:3128`,
  tls: { ca: [certificate, certificate], cert: certificate, key: privateKey, servername: "inner.example" }
}

const giveToken = () => "token"
const throwing = () => {
  throw new Error(secret)
}

const ok = (input: unknown, options?: Config.DecodeOptions): Config.Config => {
  const result = Config.decode(input, options)
  assert.deepStrictEqual(Result.isFailure(result) ? result.failure : [], [])
  return Result.getOrThrow(result)
}

const issuesOf = (input: unknown, options?: Config.DecodeOptions): ReadonlyArray<string> => {
  const result = Config.decode(input, options)
  return Result.isSuccess(result) ? [] : result.failure.map(({ message, path }) => `${path}: ${message}`)
}

const oneIssue = (input: unknown, start: string, part = ""): void => {
  const issues = issuesOf(input)
  assert.strictEqual(issues.length, 1, issues.join("\n"))
  assert.isTrue(issues[0]!.startsWith(start), issues[0])
  assert.include(issues[0]!, part)
}

const withAzure = (change: object) => ({ resources: [{ ...azure, ...change }] })
const withDeployment = (change: object) => withAzure({ deployments: [{ ...deployment, ...change }] })
const endpointOf = (resource: object): string => ok({ resources: [resource] }).resources[0]!.endpoint

describe("Config.decode", () => {
  it("fills in every default", () => {
    const config = ok(typedBack(typed({ resources: [azure] })))
    assert.deepStrictEqual(
      { ...config, resources: [], modelTimeouts: { ...config.modelTimeouts } },
      { resources: [], defaultResource: "east", ...Config.defaults, modelTimeouts: {}, fleet: undefined }
    )
    const { auth, ...resource } = config.resources[0]!
    assert.isTrue(auth._tag === "Key" && Redacted.value(auth.key) === secret)
    assert.deepStrictEqual(resource, {
      name: "east",
      provider: "azure",
      endpoint: "https://my-east.openai.azure.com",
      apiVersion: undefined,
      region: undefined,
      headers: {},
      proxy: undefined,
      tls: undefined,
      allowInsecure: false,
      streamUsage: true,
      deployments: [{
        name: "gpt-4o",
        model: "gpt-4o",
        tier: 1,
        provisioned: false,
        weight: 1,
        tpm: 300_000,
        rpm: 1_800,
        pool: undefined,
        price: undefined
      }]
    })
    assert.deepStrictEqual(Config.defaults.timeouts, {
      connect: 10_000,
      total: 1_800_000,
      firstEvent: undefined,
      firstContent: 1_800_000,
      idle: 120_000
    })
  })

  it("takes explicit undefined as left out, and empty sections as all defaults", () => {
    const config = ok({
      resources: [{ ...azure, apiVersion: undefined, auth: undefined }],
      session: {},
      health: { check: {}, openFor: undefined },
      failover: {},
      timeouts: {},
      hedging: {},
      quota: undefined
    })
    const { health, session } = config
    assert.deepStrictEqual({ session, health }, { session: Config.defaults.session, health: Config.defaults.health })
  })

  it("takes durations as text, milliseconds and Duration", () => {
    const { failover, timeouts } = ok({
      resources: [azure],
      timeouts: { total: "2 minutes", idle: 1_500, connect: Duration.seconds(3) },
      failover: { maxWait: 0, backoff: "250 millis" }
    })
    assert.deepStrictEqual([timeouts.total, timeouts.idle, timeouts.connect], [120_000, 1_500, 3_000])
    assert.deepStrictEqual([failover.maxWait, failover.backoff], [0, 250])
  })

  it("completes the limits of a model from the limits of all", () => {
    const { modelTimeouts, timeouts } = ok({
      resources: [azure],
      timeouts: { idle: "1 minute", models: { o3: { firstContent: "10 minutes" } } }
    })
    assert.deepStrictEqual(modelTimeouts["o3"], { ...timeouts, idle: 60_000, firstContent: 600_000 })
    // no inherited name is taken for a model
    assert.isUndefined(modelTimeouts["constructor"])
    assert.isUndefined(modelTimeouts["__proto__"])
  })

  it("reads the prices of a deployment, provisioned or not", () => {
    const tier = { input: 2, output: 8, cachedInput: 0, cacheWrite: 2.5, reasoning: 9 }
    const full = { ...tier, longContext: { ...tier, above: 272_000 } }
    for (const price of [{ input: 0, output: 1e-7 }, full, { ...full, serviceTiers: { priority: full, flex: tier } }]) {
      const read = ok(withDeployment({ price, provisioned: true })).resources[0]!.deployments[0]!.price
      assert.deepStrictEqual(read, price)
    }
    assert.isUndefined(ok(withDeployment({ price: undefined })).resources[0]!.deployments[0]!.price)
  })

  it("reads every way to authenticate", () => {
    const auths = ok({
      resources: [
        { ...azure, name: "a", apiKey: Redacted.make(azureKey) },
        { ...azure, name: "b", apiKey: undefined, auth: "entra" },
        {
          ...azure,
          name: "c",
          apiKey: undefined,
          auth: "entra",
          scope: "https://cognitiveservices.azure.com/.default"
        },
        { ...openai, name: "d", apiKey: undefined, auth: giveToken },
        compatible,
        { ...azure, name: "f", apiKey: ` ${azureKey}\n` }
      ]
    }).resources.map(({ auth }) => auth)
    assert.deepStrictEqual(auths.map(({ _tag }) => _tag), ["Key", "Entra", "Entra", "TokenProvider", "None", "Key"])
    assert.deepStrictEqual(auths[1], { _tag: "Entra", scope: "https://ai.azure.com/.default" })
    assert.deepStrictEqual(auths[2], { _tag: "Entra", scope: "https://cognitiveservices.azure.com/.default" })
    assert.deepStrictEqual(auths[3], { _tag: "TokenProvider", provider: giveToken })
    for (const auth of [auths[0]!, auths[5]!]) {
      assert.isTrue(auth._tag === "Key" && Redacted.value(auth.key) === azureKey)
    }
  })

  it("serves every model on openai without deployments", () => {
    const [resource] = ok({ resources: [openai] }).resources
    assert.strictEqual(resource!.endpoint, "https://api.openai.com/v1")
    assert.deepStrictEqual(resource!.deployments.map(({ model, name }) => [name, model]), [["*", "*"]])
    const limited = ok({ resources: [{ ...openai, deployments: [{ name: "*", tier: 2 }, { name: "gpt-4o" }] }] })
    assert.deepStrictEqual(limited.resources[0]!.deployments.map(({ model }) => model), ["*", "gpt-4o"])
  })

  it.each([
    ["https://x.openai.azure.com/", "https://x.openai.azure.com"],
    ["https://x.openai.azure.com/openai", "https://x.openai.azure.com"],
    ["https://x.services.ai.azure.com/openai/v1/", "https://x.services.ai.azure.com"],
    ["https://x.cognitiveservices.azure.com//", "https://x.cognitiveservices.azure.com"],
    ["https://X.OpenAI.azure.us", "https://x.openai.azure.us"],
    ["http://localhost:4000", "http://localhost:4000"],
    ["http://127.0.0.2:4000/openai/", "http://127.0.0.2:4000"],
    ["http://[::1]:4000", "http://[::1]:4000"],
    ["https://apim.example/llm/openai", "https://apim.example/llm"]
  ])("takes the azure endpoint %s", (endpoint, expected) => {
    assert.strictEqual(endpointOf({ ...azure, endpoint }), expected)
  })

  it.each([
    [{ ...openai, endpoint: "https://api.openai.com" }, "https://api.openai.com/v1"],
    [{ ...openai, endpoint: "https://eu.api.openai.com/v1/" }, "https://eu.api.openai.com/v1"],
    [{ ...compatible, endpoint: "https://host.example" }, "https://host.example"],
    [{ ...compatible, endpoint: "https://host.example:443/" }, "https://host.example"],
    [{ ...compatible, endpoint: "http://10.0.0.5:8000/api/v1/", allowInsecure: true }, "http://10.0.0.5:8000/api/v1"]
  ])("takes the base URL of another service (%#)", (resource, expected) => {
    assert.strictEqual(endpointOf(resource), expected)
  })

  it.each([
    ["my-east.openai.azure.com", "is not a URL; an endpoint begins with https://"],
    ["https://", "is not a URL"],
    ["ftp://x.openai.azure.com", "is not a URL"],
    ["", "is not a URL"],
    ["http://x.openai.azure.com", "is plain http to another machine"],
    ["http://127.0.0.1.evil.example", "is plain http to another machine"],
    ["https://x.openai.azure.com/openai/deployments/gpt-4o", "names a deployment"],
    ["https://x.openai.azure.com?api-version=2024-10-21", "as `apiVersion`"],
    ["https://x.openai.azure.com#part", "has a query or fragment"],
    ["https://x.services.ai.azure.com/api/projects/p", "is that of a project"],
    ["https://x.services.ai.azure.com/models", "goes into the API's paths"],
    ["https://user:pass@x.openai.azure.com", "has a user or password in it"],
    ["https://api.openai.com/v1", "is OpenAI's own"],
    ["https://ai.azure.com", "is the address of a portal"]
  ])("refuses the azure endpoint %s", (endpoint, part) => {
    oneIssue(withAzure({ endpoint }), "resources[0].endpoint: ", part)
  })

  it("refuses endpoints of the wrong provider or operation", () => {
    oneIssue(
      { resources: [{ ...openai, endpoint: azure.endpoint }] },
      "resources[0].endpoint: ",
      "is an Azure resource"
    )
    oneIssue(
      { resources: [{ ...compatible, endpoint: "https://x.example/v1/chat/completions" }] },
      "resources[0].endpoint: ",
      "is that of one operation"
    )
  })

  it("reads an API version", () => {
    for (const [given, read] of [["2024-10-21", "2024-10-21"], ["2025-03-01-preview", "2025-03-01-preview"], ["v1"]]) {
      assert.strictEqual(ok(withAzure({ apiVersion: given })).resources[0]!.apiVersion, read)
    }
    for (const apiVersion of ["latest", "preview", "2024-13-01", "20241021", "", 2024]) {
      oneIssue(withAzure({ apiVersion }), "resources[0].apiVersion: expected a date such as \"2024-10-21\"")
    }
    oneIssue({ resources: [{ ...openai, apiVersion: "2024-10-21" }] }, "resources[0].apiVersion: is for azure only")
  })

  it.each<[object, string]>([
    [{ tpm: -5 }, "tpm: expected a number above 0, found -5"],
    [{ tpm: 0 }, "tpm: expected a number above 0, found 0"],
    [{ rpm: Number.NaN }, "rpm: expected a number above 0, found NaN"],
    [{ rpm: Infinity }, "rpm: expected a number above 0, found Infinity"],
    [{ rpm: "60" }, "rpm: expected a number above 0, found \"60\""],
    [{ tier: 1.5 }, "tier: expected a whole number of at least 1, found 1.5"],
    [{ weight: 0 }, "weight: expected a number above 0, at most 1,000,000"],
    [{ provisioned: 1 }, "provisioned: expected true or false, found 1"],
    [{ price: { input: -1, output: 1 } }, "price.input: expected a number of 0 or more, found -1"],
    [{ price: { input: 1, output: Infinity } }, "price.output: expected a number of 0 or more, found Infinity"],
    [
      { price: { input: 1, output: 1, cachedInput: null } },
      "price.cachedInput: expected a number of 0 or more, found nothing (null)"
    ],
    [{ price: { input: "$2", output: 1 } }, "price.input: expected a number of 0 or more, found \"$2\""],
    [{ price: { input: 1 } }, "price.output: is missing: give the price of a million output tokens in USD"],
    [{ price: { output: 1 } }, "price.input: is missing: give the price of a million input tokens in USD"],
    [{ price: { input: 1, output: 1, chacedInput: 1 } }, "price.chacedInput: unknown key; did you mean `cachedInput`?"],
    [
      { price: { input: 1, output: 1, longContext: { input: 2, output: 2 } } },
      "price.longContext.above: is missing: give the prompt tokens above which these prices hold"
    ],
    [
      { price: { input: 1, output: 1, serviceTiers: { flex: { input: Number.NaN, output: 1 } } } },
      "price.serviceTiers.flex.input: expected a number of 0 or more, found NaN"
    ],
    [
      { price: { input: 1, output: 1, serviceTiers: [] } },
      "price.serviceTiers: expected an object, found an empty list"
    ],
    [{ price: 5 }, "price: expected an object, found 5"],
    [{ TPM: 1 }, "TPM: unknown key; did you mean `tpm`?"],
    [{ prioritty: 1 }, "prioritty: unknown key; known here: `name`, `model`"],
    [{ priority: 1 }, "priority: unknown key; did you mean `tier`?"],
    [{ name: "*" }, "name: Azure answers under a deployment's own name"],
    [{ name: " " }, "name: expected the deployment's name"],
    [{ model: "*" }, "model: only the deployment named \"*\""]
  ])("says what is wrong with a deployment, and what would be right: %j", (change, start) => {
    oneIssue(withDeployment(change), `resources[0].deployments[0].${start}`)
  })

  it.each<[object, string]>([
    [{ deployments: [] }, "deployments: expected a list with at least one deployment"],
    [{ deployments: undefined }, "deployments: is missing: list at least one deployment"],
    [{ deployments: { a: 1 } }, "deployments: expected a list with at least one deployment"],
    [{ deployments: ["gpt-4o"] }, "deployments[0]: expected an object, found \"gpt-4o\""],
    [{ deployments: [{}] }, "deployments[0].name: is missing: give the deployment's name"],
    [{ name: "a/b" }, "name: expected a name without `/`"],
    [{ provider: "azur" }, "provider: expected \"azure\", \"openai\" or \"compatible\", found \"azur\""],
    [{ endpoint: undefined }, "endpoint: is missing: give the resource's address"],
    [{ endpoint: 5 }, "endpoint: expected a URL, found a number"],
    [{ apiKey: undefined }, "apiKey: is missing: give the key, or `auth: \"entra\"`"],
    [{ apiKey: "" }, "apiKey: expected the key as a text of visible ASCII characters"],
    [{ auth: "entra" }, "auth: give either `apiKey` or `auth`, not both"],
    [{ headers: ["x"] }, "headers: expected an object, found a list"],
    [{ headers: { "X-A": 5 } }, "headers[\"X-A\"]: expected a header's value: a text"],
    [{ headers: { "x-a": "a\r\nb: c" } }, "headers[\"x-a\"]: expected a header's value"],
    [{ headers: { "x-a": "ü" } }, "headers[\"x-a\"]: expected a header's value"],
    [{ headers: { "x a": "1" } }, "headers[\"x a\"]: is not the name of a header"],
    [{ headers: { "": "1" } }, "headers[\"\"]: is not the name of a header"],
    [{ headers: { "X-A": "1", "x-a": "1" } }, "headers[\"x-a\"]: is given twice"],
    [{ headers: { "API-Key": "1" } }, "headers[\"API-Key\"]: is made of `apiKey` or `auth`"],
    [{ headers: { Authorization: "1" } }, "headers.Authorization: is made of `apiKey`"],
    [{ headers: { host: "1" } }, "headers.host: is set by the balancer itself"],
    [{ headers: { "Content-Length": "1" } }, "headers[\"Content-Length\"]: is set by the"],
    [{ proxy: "" }, "proxy: expected \"none\", or the URL of a proxy such as"],
    [{ proxy: "proxy.example:3128" }, "proxy: expected \"none\", or the URL of a proxy"],
    [{ proxy: "http://proxy.example/path" }, "proxy: expected \"none\", or the URL"],
    [{ proxy: true }, "proxy: expected \"none\", or the URL"],
    [{ tls: { ca: "/etc/ca.pem" } }, "tls.ca: expected a certificate in PEM"],
    [{ tls: { ca: [certificate, ""] } }, "tls.ca[1]: expected a certificate in PEM"],
    [
      { tls: { ca: new Uint8Array(9) } },
      "tls.ca: expected a certificate in PEM, which begins with \"-----BEGIN CERTIFICATE-----\" or a list, found bytes"
    ],
    [{ tls: { cert: certificate } }, "tls.key: is missing: give the private key of `cert`"],
    [{ tls: { key: privateKey } }, "tls.cert: is missing: give the certificate of `key`"],
    [{ tls: { rejectUnauthorized: false } }, "tls.rejectUnauthorized: unknown key; known here"],
    [{ tls: { servername: "a b" } }, "tls.servername: expected the name of a host"],
    [{ endpoint: "http://127.0.0.1:1", tls: {} }, "tls: is for https only"],
    [{ scope: "s" }, "scope: is only for `auth: \"entra\"`"],
    [{ apiKey: undefined, auth: "Entra" }, "auth: expected \"entra\" or a function"],
    [
      { deployments: [deployment, deployment] },
      "deployments[1].name: \"gpt-4o\" is already the name of resources[0].deployments[0]"
    ]
  ])("says what is wrong with a resource, and what would be right: %j", (change, start) => {
    oneIssue(withAzure(change), `resources[0].${start}`)
  })

  it.each<[object, string]>([
    [{ defaultResource: "eats" }, "defaultResource: \"eats\" is not the name of a resource; did you mean \"east\"?"],
    [{ defaultResource: "nowhere" }, "defaultResource: \"nowhere\" is not the name of a resource; give"],
    [{ timeouts: { total: "10s" } }, "timeouts.total: expected a duration above 0, at most 24 days"],
    [{ timeouts: { total: Infinity } }, "timeouts.total: expected a duration above 0"],
    [{ timeouts: { total: "30 days" } }, "timeouts.total: expected a duration above 0"],
    [{ timeouts: { total: 0 } }, "timeouts.total: expected a duration above 0"],
    [{ timeouts: { total: Duration.infinity } }, "timeouts.total: expected a duration above 0"],
    [{ quota: { requestSlice: "2 minutes" } }, "quota.requestSlice: expected a duration above 0"],
    [
      { timeouts: { models: { "gpt-4.1": { totl: 1 } } } },
      "timeouts.models[\"gpt-4.1\"].totl: unknown key; did you mean `total`?"
    ],
    [{ hedging: { after: 1 } }, "hedging.after: unknown key; there is nothing to set here yet"],
    [{ session: null }, "session: expected an object, found nothing (null)"],
    [{ session: [] }, "session: expected an object, found an empty list"],
    [{ session: { loadBound: 0.5 } }, "session.loadBound: expected a number of at least 1, found 0.5"],
    [
      { health: { openFor: "10 minutes" } },
      "health.maxOpenFor: must not be below `openFor`, and its default (300 seconds) is; give both"
    ],
    [{ failover: { backoff: 5, maxBackoff: 4 } }, "failover.maxBackoff: must not be below `backoff`"],
    [{ health: { check: { kind: "path" } } }, "health.check.path: is missing"],
    [{ health: { check: { path: "/models" } } }, "health.check.path: needs `kind: \"path\"`"],
    [
      { health: { check: { kind: "path", path: "/a/../b" } } },
      "health.check.path: expected a path below the API's base"
    ]
  ])("says what is wrong with a setting, and what would be right: %j", (sections, start) => {
    oneIssue({ resources: [azure], ...sections }, start)
  })

  it.each([
    [{ resources: [{ ...openai, apiKey: undefined }] }, "resources[0].apiKey: is missing: give the key or a function"],
    [
      { resources: [{ ...openai, apiKey: undefined, auth: "entra" }] },
      "resources[0].auth: Entra ID is for azure only"
    ],
    [
      { resources: [{ ...compatible, deployments: [{ name: "*", model: "x" }] }] },
      "resources[0].deployments[0].model: \"*\" serves every model"
    ],
    [
      { resources: [{ ...compatible, deployments: undefined }] },
      "resources[0].deployments: is missing: list the models"
    ],
    [{ resources: [{ ...compatible, endpoint: undefined }] }, "resources[0].endpoint: is missing: give the base URL"],
    [{ resources: [] }, "resources: expected a list with at least one resource, found an empty list"],
    [{}, "resources: is missing: give a list with at least one resource"],
    [null, ": expected an object with at least `resources`, found nothing (null)"],
    [[], ": expected an object with at least `resources`, found an empty list"],
    ["text", ": expected an object with at least `resources`, found \"text\""],
    [{ resources: [azure, azure] }, "resources[1].name: \"east\" is already the name of resources[0]"],
    [
      { resources: [{ ...azure, deployments: [{ name: "a", provisioned: true, pool: "global" }] }] },
      "resources[0].deployments[0].pool: is for quotas; provisioned throughput is its own. Remove it"
    ],
    [
      {
        resources: [{
          ...azure,
          deployments: [
            { name: "a", model: "gpt", pool: "global", tpm: 10 },
            { name: "gpt", pool: "global" },
            { name: "mini", pool: "global", tpm: 30 },
            { name: "b", model: "gpt", pool: "global", tpm: 20 }
          ]
        }]
      },
      "resources[0].deployments[3].tpm: is not that of resources[0].deployments[0], though both draw on the pool"
    ],
    [JSON.parse(`{"resources":[${JSON.stringify(azure)}],"__proto__":{"a":1}}`), "__proto__: unknown key"]
  ])("says what is wrong and what would be right (%#)", (input, start) => {
    oneIssue(input, start)
  })

  it("reports every mistake at once, of shape and between values", () => {
    const issues = issuesOf({
      resources: [
        { ...azure, weigth: 2, apiKey: undefined },
        {
          ...azure,
          endpoint: "http://u:p@h.example?x=1",
          deployments: [{ name: "a", tpm: -1 }, { name: "a", rpm: 0 }]
        },
        5
      ],
      defaultResource: "west",
      sesion: {}
    })
    assert.deepStrictEqual(issues.map((issue) => issue.slice(0, issue.indexOf(": "))).toSorted(), [
      "defaultResource",
      "resources[0].apiKey",
      "resources[0].weigth",
      "resources[1].deployments[0].tpm",
      "resources[1].deployments[1].name",
      "resources[1].deployments[1].rpm",
      "resources[1].endpoint",
      "resources[1].endpoint",
      "resources[1].endpoint",
      "resources[1].name",
      "resources[2]",
      "sesion"
    ])
  })

  it.each<[object, string]>([
    [{ provider: "azur", endpoint: undefined }, "resources[0].endpoint: is missing: give the resource's address"],
    [{ provider: "azur", apiKey: undefined }, "resources[0].apiKey: is missing: give the key, or `auth"],
    [{ provider: "Azure", deployments: undefined }, "resources[0].deployments: is missing: list at least one"],
    [{ provider: "azur", endpoint: "nowhere" }, "resources[0].endpoint: is not a URL"],
    [{ provider: "google", endpoint: "nowhere" }, "resources[0].endpoint: is not a URL"],
    [{ provider: undefined, endpoint: "http://10.1.1.1" }, "resources[0].endpoint: is plain http to another machine"]
  ])("reports what is wrong behind a provider that is written wrong: %j", (change, start) => {
    const issues = issuesOf(withAzure(change))
    assert.lengthOf(issues, 2)
    assert.isTrue(issues.some((issue) => issue.startsWith("resources[0].provider: ")), issues.join("\n"))
    assert.isTrue(issues.some((issue) => issue.startsWith(start)), issues.join("\n"))
  })

  it("shows no key, whatever is wrong with it", () => {
    for (
      const apiKey of [
        "hunter 2",
        ["hunter2"],
        { hunter2: "hunter2" },
        Redacted.make("hunter 2"),
        4711,
        "hunter2\u0000"
      ]
    ) {
      const [issue] = issuesOf(withAzure({ apiKey }))
      assert.isDefined(issue)
      assert.notMatch(issue!, /hunter|4711/)
    }
    for (
      const astray of [{ apikey: "hunter2" }, { endpoint: "https://hunter2@h" }, { endpoint: "hunter2" }, {
        auth: "hunter2"
      }]
    ) {
      assert.notInclude(issuesOf(withAzure(astray)).join("\n"), "hunter2")
    }
    for (const astray of [{ region: `${secret}\n` }, { name: `${secret}/` }, { provider: secret }, { [secret]: 1 }]) {
      assert.notInclude(issuesOf(withAzure(astray)).join("\n"), secret)
    }
    assert.notInclude(issuesOf({ resources: [azure], defaultResource: azureKey }).join("\n"), azureKey)
  })

  it("keeps the key out of every print of a decoded configuration", () => {
    const config = ok({ resources: [azure, openai] })
    const seen = [inspect(config, { depth: 20, showHidden: true }), JSON.stringify(config), String(config)]
    for (const print of seen) assert.notInclude(print, secret)
  })

  it("keeps what a gateway and a proxy want: header names in lower case, and every secret redacted", () => {
    const [resource] = ok(typedBack(typed(withAzure(reached) as Config.ConfigInput))).resources
    const { headers, proxy, tls } = resource!
    assert.deepStrictEqual(Object.keys(headers), ["ocp-apim-subscription-key", "x-team"])
    for (const value of Object.values(headers)) assert.strictEqual(Redacted.value(value), secret)
    assert.strictEqual(Redacted.value(proxy as Redacted.Redacted<string>), reached.proxy)
    assert.strictEqual(Redacted.value(tls!.key!), privateKey.trim())
    assert.deepInclude(tls, { ca: reached.tls.ca, cert: certificate, servername: "inner.example" })
    const seen = [inspect(resource, { depth: 20, showHidden: true }), JSON.stringify(resource)]
    for (const print of seen) assert.notInclude(print, secret)
    assert.strictEqual(ok(withAzure({ proxy: "none" })).resources[0]!.proxy, "none")
  })

  it("shows nothing of headers, proxy and TLS, whatever is wrong with them", () => {
    const astray = [
      { headers: "hunter2" },
      { headers: { a: "hunter2\nb" } },
      { proxy: "hunter2" },
      { proxy: "http://u:hunter2@p.example/x" },
      { proxy: ["hunter2"] },
      { tls: "hunter2" },
      { tls: { ca: "hunter2", cert: "hunter2", key: "hunter2", servername: "hunter2 " } }
    ]
    for (const change of astray) {
      const issues = issuesOf(withAzure(change))
      assert.isNotEmpty(issues)
      assert.notInclude(issues.join("\n"), "hunter2")
    }
  })

  it("hides what came from variables, and reads numbers from whole ones", () => {
    const references = new Map([
      ["resources[0].deployments[0].tpm", { label: "${TPM}", whole: true }],
      ["resources[0].deployments[0].provisioned", { label: "${PTU}", whole: true }],
      ["resources[0].deployments[0].rpm", { label: "${A} and ${B}", whole: false }],
      ["resources[0].name", { label: "${NAME}", whole: true }]
    ])
    const config = ok(withAzure({ name: "4", deployments: [{ name: "g", tpm: "300000", provisioned: "true" }] }), {
      references
    })
    assert.strictEqual(config.resources[0]!.name, "4")
    assert.deepInclude(config.resources[0]!.deployments[0], { tpm: 300_000, provisioned: true })
    assert.deepStrictEqual(
      issuesOf(withAzure({ name: "a/b", deployments: [{ name: "g", tpm: "-5", rpm: "12", tier: "1" }] }), {
        references
      }),
      [
        "resources[0].name: expected a name without `/`, without spaces around it, found the value of ${NAME}",
        "resources[0].deployments[0].tier: expected a whole number of at least 1, found \"1\"",
        "resources[0].deployments[0].tpm: expected a number above 0, found the value of ${TPM}",
        "resources[0].deployments[0].rpm: expected a number above 0, found the value of ${A} and ${B}"
      ]
    )
  })

  it("survives hostile inputs", () => {
    const circular: Record<string, unknown> = { ...azure }
    circular["deployments"] = [circular]
    circular["region"] = circular
    const wiped = Redacted.make("gone")
    Redacted.wipeUnsafe(wiped)
    const inputs: ReadonlyArray<unknown> = [
      { resources: [circular] },
      { resources: circular },
      withAzure({ apiKey: wiped }),
      Object.defineProperty({}, "resources", { get: throwing, enumerable: true }),
      new Proxy({}, { ownKeys: throwing, get: throwing, has: throwing, getOwnPropertyDescriptor: throwing }),
      { resources: [azure], [Symbol("s")]: 1 },
      Object.create({ resources: [azure] }, { x: { value: 1, enumerable: true } }),
      { resources: Array.from({ length: 3 }) },
      // eslint-disable-next-line no-sparse-arrays
      { resources: [, azure] },
      1n,
      Symbol("s"),
      throwing
    ]
    for (const input of inputs) {
      const issues = issuesOf(input)
      assert.isNotEmpty(issues)
      assert.notInclude(issues.join("\n"), secret)
    }
  })
})

// -----------------------------------------------------------------------------
// properties
// -----------------------------------------------------------------------------

const prices = { input: 1, output: 2, cachedInput: 0, longContext: { above: 1_000, input: 2, output: 3 } }

const full = {
  resources: [
    azure,
    { ...openai, region: "us" },
    { ...compatible, deployments: [{ name: "*", price: { ...prices, serviceTiers: { flex: prices } } }] }
  ],
  defaultResource: "oai",
  session: { capacity: 5, idle: "1 minute", loadBound: 2 },
  health: { openFor: 1_000, check: { kind: "path", path: "/models", interval: "5 seconds" } },
  failover: { attempts: 2, maxWait: 0 },
  timeouts: { total: 5_000, models: { o3: { idle: "2 seconds" } } },
  quota: { hot: 0.5 }
}

type Place = ReadonlyArray<string | number>

const placesOf = (value: unknown, at: Place = []): ReadonlyArray<Place> =>
  typeof value !== "object" || value === null ? [at] : [
    at,
    ...Object.entries(value).flatMap(([key, inner]) =>
      placesOf(inner, [...at, Array.isArray(value) ? Number(key) : key])
    )
  ]

const change = (value: any, [key, ...rest]: Place, f: (value: unknown) => unknown): unknown => {
  if (key === undefined) return f(value)
  if (typeof value !== "object" || value === null) return value
  const copy = Array.isArray(value) ? [...value] : { ...value }
  copy[key] = change(copy[key], rest, f)
  return copy
}

const places = placesOf(full)
const junk: ReadonlyArray<unknown> = [
  undefined,
  null,
  true,
  0,
  -1,
  Number.NaN,
  "",
  " ",
  "*",
  secret,
  `https://u:${secret}@h.example`,
  `https://h.example/?k=${secret}`,
  [],
  {},
  [secret],
  { [secret]: secret },
  () => secret,
  Redacted.make(secret),
  new Date(0),
  new Map(),
  JSON.parse(`{"__proto__":{"x":"${secret}"}}`)
]

const Index = (length: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: length - 1 }))
const Mutation = Schema.Struct({ place: Index(places.length), junk: Index(junk.length), add: Schema.Boolean })

const isSound = (input: unknown): void => {
  const result = Config.decode(input)
  if (Result.isSuccess(result)) {
    // a key in the place of a name is a name
    const guarded = result.success.resources.map(({ auth, endpoint }) => ({ auth, endpoint }))
    assert.notInclude(inspect(guarded, { depth: 20 }), secret)
    assert.notInclude(JSON.stringify(guarded), secret)
    return
  }
  assert.isNotEmpty(result.failure)
  for (const { message, path } of result.failure) {
    assert.notInclude(`${path}: ${message}`, secret)
    assert.notInclude(message, "[object")
    assert.notInclude(message, "another value")
  }
}

describe("Config.decode, any input", () => {
  it.prop("takes anything", [Schema.Unknown], ([input]) => isSound(input), check())

  it.prop("takes any JSON as resources", [Schema.Json], ([json]) => {
    isSound(json)
    isSound({ resources: json })
    isSound({ resources: [json] })
    isSound(withAzure({ deployments: [json] }))
    isSound({ resources: [azure], timeouts: json, health: { check: json } })
  }, check())

  it.prop(
    "takes a valid configuration with anything wrong in it",
    [Arbitrary.array(Arbitrary.schema(Mutation), { maxLength: 6 })],
    ([mutations]) => {
      let input: unknown = full
      for (const mutation of mutations) {
        const value = junk[mutation.junk]
        input = change(input, places[mutation.place]!, (old) => {
          if (!mutation.add) return value
          if (Array.isArray(old)) return [...old, value]
          return typeof old === "object" && old !== null
            ? { ...old, [typeof value === "string" ? value : "extra"]: value }
            : value
        })
      }
      isSound(input)
    },
    check()
  )

  it("is itself valid", () => {
    assert.strictEqual(ok(full).defaultResource, "oai")
  })

  it("finds every single change that is not valid", () => {
    for (const place of places) {
      for (const value of junk) isSound(change(full, place, () => value))
      // an unknown key is found wherever keys are
      const added = change(
        full,
        place,
        (old) => typeof old === "object" && old !== null && !Array.isArray(old) ? { ...old, zzz: 1 } : null
      )
      assert.isNotEmpty(issuesOf(added), place.join("."))
    }
  })
})
