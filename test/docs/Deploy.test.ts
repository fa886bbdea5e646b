import { defaults } from "#core/config/Config"
import { assert, describe, it } from "@effect/vitest"
import * as Yaml from "effect/encoding/Yaml"
import { spawnSync } from "node:child_process"
import { cpSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { startTwo } from "../examples/support.ts"
import { Folder, named } from "../otel/Tools.ts"
import { gated } from "../support/Gated.ts"
import { fast } from "../support/Served.ts"
import { blocksOf, brokenLinks, configOf, namesIn, root, textOf } from "./Pages.ts"
import { isThere, startGateway } from "./Programs.ts"

const limit = { timeout: 60_000, concurrent: false }

const folder = "docs/deploy/"
const manifests = ["kubernetes/", "kubernetes/prometheus/"].flatMap((under) =>
  namesIn(folder + under, ".yaml").map((name) => under + name)
)

/** Anything that YAML may hold, looked into without asking what is there. */
// oxlint-disable-next-line typescript/no-explicit-any -- a manifest has no type here, and a test that errs fails
const parsed = (path: string): any => Yaml.parse(textOf(folder + path))

const { podTemplate, pod, container } = (() => {
  const podTemplate = parsed("kubernetes/deployment.yaml").spec.template
  return { podTemplate, pod: podTemplate.spec, container: podTemplate.spec.containers[0] }
})()

const clusterConfig = configOf(textOf(`${folder}kubernetes/evenkeel.yaml`))
const hostConfig = configOf(textOf(`${folder}evenkeel.yaml`))
const readme = textOf(`${folder}README.md`)
const paths = ["/healthz", "/readyz"]
const seconds = (millis: number): number => millis / 1000

/** What looks like a key, a password or a token. */
const secret = /\b(?:sk|ek)-[\w-]{16,}|[0-9a-f]{32,}|(?:password|api-?key|token)\s*[:=]\s*["']?[\w+/]{8,}/i

const hasKubectl = isThere("kubectl", ["kustomize", "--help"])
const hasSystemd = isThere("systemd-analyze", ["--version"])

describe("docs/deploy", () => {
  it("leads nowhere wrong", () => {
    assert.deepStrictEqual(brokenLinks(`${folder}README.md`), [])
    assert.include(textOf("README.md"), "](docs/deploy/README.md)")
  })

  it("names no secret, anywhere", () => {
    for (const path of ["Dockerfile", "evenkeel.service", "evenkeel.yaml", "README.md", ...manifests]) {
      assert.notMatch(textOf(folder + path), secret, path)
    }
  })

  it("has configurations that the gateway takes, with every secret from a variable", () => {
    for (const { gateway, resources } of [clusterConfig, hostConfig]) {
      assert.strictEqual(gateway.host, "0.0.0.0")
      assert.strictEqual(gateway.port, defaults.gateway.port)
      assert.isAbove(gateway.keys.length, 0)
      assert.isAbove(resources.length, 1)
    }
  })

  it("has YAML on its page that can be read", () => {
    const found = blocksOf(readme).filter(({ language }) => language === "yaml")
    assert.strictEqual(found.length, 3)
    for (const { text } of found) assert.isObject(Yaml.parse(text))
  })
})

describe("the Dockerfile", limit, () => {
  const dockerfile = textOf(`${folder}Dockerfile`)
  /** The last stage: what the image is. */
  const image = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "))
  const instruction = (name: string): string => new RegExp(`^${name} ((?:.*\\\\\n)*.*)`, "m").exec(image)?.[1] ?? ""

  it("is of Node 24, in two stages, and not root", () => {
    assert.strictEqual(dockerfile.match(/^FROM /gm)?.length, 2)
    assert.match(dockerfile, /^ARG NODE=24$/m)
    assert.match(image, /^\nFROM node:\$\{NODE\}-slim$/m)
    // as a number, by which Kubernetes can tell
    const [user = "", group = ""] = instruction("USER").split(":")
    assert.isAbove(Number(user), 0)
    assert.isAbove(Number(group), 0)
    assert.strictEqual(container.securityContext.runAsUser ?? pod.securityContext.runAsUser, Number(user))
    // nothing runs as root in the image itself
    assert.notMatch(image, /^RUN /m)
  })

  it("stops by SIGTERM, which reaches Node itself", () => {
    assert.strictEqual(instruction("STOPSIGNAL"), "SIGTERM")
    assert.deepStrictEqual(JSON.parse(instruction("ENTRYPOINT")).slice(0, 1), ["node"])
    assert.deepStrictEqual(JSON.parse(instruction("CMD")), container.args)
  })

  it("takes a version, or tarballs, and no secret", () => {
    assert.match(dockerfile, /^ARG VERSION=/m)
    assert.match(dockerfile, /^ARG PACKAGES="@evenkeel\/node@\$\{VERSION\}/m)
    assert.notMatch(dockerfile, /^(?:ARG|ENV) .*(?:KEY|TOKEN|SECRET|PASSWORD)/m)
    assert.notMatch(dockerfile, /^ADD /m)
  })

  it("listens where the gateway does", () => {
    assert.strictEqual(instruction("EXPOSE"), String(defaults.gateway.port))
    const { mountPath } = container.volumeMounts[0]
    assert.include(instruction("ENV"), `EVENKEEL_CONFIG=${mountPath}/evenkeel.yaml`)
  })

  it("asks a gateway that serves without writing a file whether it is alive", async () => {
    const [program = "", ...args]: ReadonlyArray<string> = JSON.parse(
      /CMD (\[.*\])$/.exec(instruction("HEALTHCHECK"))![1]!
    )
    assert.strictEqual(program, "node")
    assert.include(args[1]!, `http://127.0.0.1:${defaults.gateway.port}/healthz`)
    await using simulator = await startTwo()
    // no file may be written, no program run, no add-on loaded
    await using gateway = await startGateway(
      textOf(`${folder}evenkeel.yaml`).replace("port: 4001", "port: 0").replaceAll(
        /https:\S+azure\.com/g,
        (url) => simulator.resources.find(({ name }) => url.includes(name))!.url
      ),
      {
        EASTUS_KEY: simulator.resources[0]!.apiKey,
        SWEDEN_KEY: simulator.resources[1]!.apiKey,
        // of the text "key"
        TEAM_A_SHA256: "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683",
        OPERATOR_SHA256: "0".repeat(64)
      },
      { node: ["--permission", "--allow-fs-read=*"] }
    )
    const check = () =>
      spawnSync(process.execPath, args.map((arg) => arg.replace("http://127.0.0.1:4000", gateway.url)), {
        timeout: 20_000
      }).status
    const url = gateway.url.replace("0.0.0.0", "127.0.0.1")
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer key", "content-type": "application/json" },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }] })
    })
    assert.strictEqual(response.status, 200)
    assert.match(await response.text(), /Hello from (?:eastus|sweden)\./)
    assert.strictEqual(check(), 0)
    gateway.signal("SIGHUP")
    const { code, said } = await gateway.stop()
    assert.notInclude(said, "ERR_ACCESS_DENIED")
    assert.strictEqual(code, 0)
    assert.strictEqual(check(), 1)
  })
})

describe("the unit of systemd", () => {
  const unit = textOf(`${folder}evenkeel.service`)
  const valueOf = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1] ?? ""

  it("gives the gateway its grace, reloads by SIGHUP, and starts again", () => {
    assert.isAbove(Number(valueOf("TimeoutStopSec")), seconds(hostConfig.gateway.grace))
    assert.strictEqual(valueOf("KillSignal"), "SIGTERM")
    assert.match(valueOf("ExecReload"), /kill -HUP \$MAINPID$/)
    assert.strictEqual(valueOf("Restart"), "on-failure")
    assert.match(valueOf("ExecStart"), / serve --config \/etc\/evenkeel\/evenkeel\.yaml$/)
    assert.match(valueOf("EnvironmentFile"), /^\/etc\/evenkeel\//)
  })

  it("has no more rights than it needs, and those that Node does", () => {
    for (const [name, value] of [["DynamicUser", "yes"], ["ProtectSystem", "strict"], ["NoNewPrivileges", "yes"]]) {
      assert.strictEqual(valueOf(name!), value)
    }
    assert.strictEqual(valueOf("CapabilityBoundingSet"), "")
    // a compiler writes what it executes
    assert.notMatch(unit, /^MemoryDenyWriteExecute=/m)
  })

  it.skipIf(!hasSystemd)(named("is one to systemd-analyze, and a safe one", hasSystemd, "systemd-analyze"), () => {
    using files = new Folder()
    // programs that are surely there, as they are looked for
    const file = files.write("evenkeel.service", unit.replace("/usr/bin/node", process.execPath))
    const verify = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8", timeout: 20_000 })
    assert.deepStrictEqual([verify.status, verify.stdout + verify.stderr], [0, ""])
    const security = spawnSync("systemd-analyze", ["security", "--offline=true", "--no-pager", file], {
      encoding: "utf8",
      timeout: 20_000
    })
    const exposure = /Overall exposure level for \S+: ([\d.]+)/.exec(security.stdout)?.[1]
    assert.isBelow(Number(exposure), 2, security.stdout + security.stderr)
  })
})

describe("the manifests", limit, () => {
  it("are read, and all of them put together", () => {
    for (const path of manifests) assert.isObject(parsed(path), path)
    for (const under of ["kubernetes/", "kubernetes/prometheus/"]) {
      const others = new Set(["kustomization.yaml", "evenkeel.yaml"])
      const files = namesIn(folder + under, ".yaml").filter((name) => !others.has(name))
      assert.sameMembers(parsed(`${under}kustomization.yaml`).resources, [...files])
    }
  })

  it("have the ports and paths of the gateway", () => {
    const ports = Object.fromEntries(
      container.ports.map(({ containerPort, name }: { containerPort: number; name: string }) => [name, containerPort])
    )
    assert.deepStrictEqual(ports, { http: clusterConfig.gateway.port, operator: clusterConfig.gateway.operator!.port })
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
      const { path, port } = container[probe].httpGet
      assert.include(paths, path, probe)
      assert.strictEqual(port, "http")
    }
    assert.strictEqual(container.livenessProbe.httpGet.path, "/healthz")
    assert.strictEqual(parsed("kubernetes/service.yaml").spec.ports[0].targetPort, "http")
    const monitor = parsed("kubernetes/prometheus/servicemonitor.yaml").spec
    const service = parsed("kubernetes/prometheus/service.yaml")
    assert.strictEqual(monitor.endpoints[0].path, "/metrics")
    assert.strictEqual(monitor.endpoints[0].port, service.spec.ports[0].name)
    assert.include(service.metadata.labels, monitor.selector.matchLabels)
    assert.strictEqual(service.spec.ports[0].targetPort, "operator")
  })

  it("keep serving one model while another is throttled everywhere, when /readyz says no", async () => {
    const deployments = ["chat", "other"].map((name) => ({ name, latency: fast, reply: () => "Hello." }))
    await using gateway = await gated([{ name: "east", deployments }], { failover: { maxWait: 0 } })
    gateway.simulator.service("east").fault("other", { kind: "throttle", retryAfterMs: 60_000 })
    const ask = (model: string) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, messages: [{ role: "user", content: "Say hello." }] })
      })
    assert.strictEqual((await ask("other")).status, 429)
    const statusOf = async (path: string) => (await fetch(gateway.url + path)).status
    assert.strictEqual(await statusOf("/readyz"), 503)
    for (const probe of ["startupProbe", "readinessProbe"]) {
      assert.strictEqual(await statusOf(container[probe].httpGet.path), 200, probe)
    }
    assert.strictEqual((await ask("chat")).status, 200)
  })

  it("wait longer than the gateway takes to stop", () => {
    const preStop: number = container.lifecycle.preStop.sleep.seconds
    const grace = seconds(clusterConfig.gateway.grace)
    assert.isAbove(preStop, 0)
    assert.isAbove(pod.terminationGracePeriodSeconds, preStop + grace)
  })

  it("give no rights", () => {
    assert.strictEqual(pod.securityContext.runAsNonRoot, true)
    assert.deepStrictEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] }
    })
    assert.strictEqual(pod.automountServiceAccountToken, false)
    assert.strictEqual(
      parsed("kubernetes/namespace.yaml").metadata.labels["pod-security.kubernetes.io/enforce"],
      "restricted"
    )
  })

  it("mean the same pods", () => {
    const labels = podTemplate.metadata.labels
    const selectors = [
      parsed("kubernetes/deployment.yaml").spec.selector.matchLabels,
      parsed("kubernetes/service.yaml").spec.selector,
      parsed("kubernetes/networkpolicy.yaml").spec.podSelector.matchLabels,
      parsed("kubernetes/poddisruptionbudget.yaml").spec.selector.matchLabels,
      parsed("kubernetes/prometheus/service.yaml").spec.selector,
      pod.topologySpreadConstraints[0].labelSelector.matchLabels
    ]
    for (const selector of selectors) assert.include(labels, selector)
    assert.strictEqual(parsed("kubernetes/horizontalpodautoscaler.yaml").spec.scaleTargetRef.name, "evenkeel")
    assert.isUndefined(parsed("kubernetes/deployment.yaml").spec.replicas)
    assert.isAtLeast(parsed("kubernetes/horizontalpodautoscaler.yaml").spec.minReplicas, 2)
  })

  it("take each secret of the configuration from one Secret", () => {
    assert.deepStrictEqual(container.envFrom, [{ secretRef: { name: "evenkeel" } }])
    assert.match(readme, /create secret generic evenkeel --from-env-file/)
    const generated = parsed("kubernetes/kustomization.yaml").configMapGenerator[0]
    assert.deepStrictEqual([generated.name, generated.files], [pod.volumes[0].configMap.name, ["evenkeel.yaml"]])
  })

  it.skipIf(!hasKubectl)(named("are put together by kustomize, and so is the overlay", hasKubectl, "kubectl"), () => {
    using files = new Folder()
    cpSync(fileURLToPath(new URL(`${folder}kubernetes`, root)), join(files.path, "base"), { recursive: true })
    const overlay = blocksOf(readme).find(({ text }) => text.startsWith("# kustomization.yaml"))!.text
    files.write("kustomization.yaml", overlay)
    files.write("evenkeel.yaml", textOf(`${folder}kubernetes/evenkeel.yaml`))
    const kinds = ["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    for (const [path, more] of [[join(files.path, "base"), []], [files.path, ["ServiceMonitor"]]] as const) {
      const { status, stderr, stdout } = spawnSync("kubectl", ["kustomize", path], {
        encoding: "utf8",
        timeout: 20_000
      })
      assert.deepStrictEqual([status, stderr], [0, ""])
      for (const kind of [...kinds, ...more]) assert.match(stdout, new RegExp(`^kind: ${kind}$`, "m"))
      const [name = ""] = /\bname: evenkeel-\w{10}\b/.exec(stdout) ?? []
      assert.strictEqual(stdout.split(name).length, 3, "the volume has the name of the ConfigMap")
    }
  })
})
