// oxlint-disable no-await-in-loop -- one after the other, so that none disturbs another
/**
 * Our gateway beside those of others: requests per CPU second of their processes, for whole answers. They are installed once,
 * outside of the repository; what cannot be had is left out. CPU is read from `/proc`, so this is for Linux.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { homedir } from "node:os"
import { join } from "node:path"
import { answerText, apiVersion, deploymentNames, question } from "./Canned.ts"
import { agentOf, type Door, type Edge, edgeOf, start, v1Path } from "./Gateway.ts"
import { figureOf, measureProcesses, ratioOf, type Rounds } from "./Measure.ts"
import type { Section } from "./Report.ts"

const cache = join(homedir(), ".cache", "evenkeel-bench")

/** Milliseconds that one has until its first answer. */
const AT_MOST = 120_000

type Command = readonly [program: string, ...args: ReadonlyArray<string>]

interface Peer {
  readonly name: string
  readonly version: string
  /** What installs it into a folder, and the file that is there then. */
  readonly install: (folder: string) => ReadonlyArray<Command>
  readonly program: string
  readonly command: (program: string, port: number, configFile: string) => Command
  /** What its file of configuration says, where it has one: YAML is JSON too. */
  readonly config?: (endpoint: string) => unknown
  readonly env: Readonly<Record<string, string>>
  readonly headers?: (endpoint: string) => Readonly<Record<string, string>>
  readonly share: number
}

/** Three deployments, as our gateway has three. */
const three = <A>(deployment: A): ReadonlyArray<A> => [deployment, deployment, deployment]

const portkey: Peer = {
  name: "Portkey",
  version: "1.15.2",
  install: (folder) => [
    [
      "npm",
      ..."install --ignore-scripts --no-audit --no-fund --prefix".split(" "),
      folder,
      `@portkey-ai/gateway@${portkey.version}`
    ]
  ],
  program: "node_modules/@portkey-ai/gateway/build/start-server.js",
  command: (program, port) => [process.execPath, program, `--port=${port}`, "--headless"],
  env: { NODE_ENV: "production" },
  share: 0.5,
  // it has no file: each request says where it may go
  headers: (endpoint) => ({
    "x-portkey-config": JSON.stringify({
      strategy: { mode: "loadbalance" },
      targets: three({
        provider: "azure-openai",
        custom_host: `${endpoint}/openai`,
        api_key: "bench-key",
        resource_name: "bench",
        deployment_id: deploymentNames.whole,
        api_version: apiVersion
      })
    })
  })
}

const litellm: Peer = {
  name: "LiteLLM",
  // newer ones need a package that is not in every index
  version: "1.108.7",
  install: (folder) => [
    ["python3", "-m", "venv", folder],
    [join(folder, "bin/pip"), "install", "-q", "--disable-pip-version-check", `litellm[proxy]==${litellm.version}`]
  ],
  program: "bin/litellm",
  command: (program, port, configFile) => [
    program,
    ..."--host 127.0.0.1 --num_workers 1 --keepalive_timeout 120 --telemetry False --config".split(" "),
    configFile,
    `--port=${port}`
  ],
  config: (endpoint) => ({
    model_list: three({
      model_name: deploymentNames.whole,
      litellm_params: {
        model: `azure/${deploymentNames.whole}`,
        api_base: endpoint,
        api_key: "bench-key",
        api_version: apiVersion
      },
      // without it, it logs an error for each request
      model_info: { base_model: "azure/gpt-4o-2024-11-20" }
    })
  }),
  // as its documentation advises for production; no keys, as ours has none here; nothing fetched at its start
  env: {
    LITELLM_MODE: "PRODUCTION",
    LITELLM_LOG: "ERROR",
    LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "true",
    LITELLM_LOCAL_MODEL_COST_MAP: "True",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS: "True",
    LITELLM_LOCAL_BLOG_POSTS: "True"
  },
  share: 0.025
}

/** Where a peer's program is, after it was installed where it was not. */
const installed = ({ install, name, program, version }: Peer): { readonly folder: string; readonly file: string } => {
  const folder = join(cache, `${name.toLowerCase()}-${version}`)
  const file = join(folder, program)
  if (existsSync(file)) return { folder, file }
  mkdirSync(folder, { recursive: true })
  console.error(`${name} ${version} is installed in ${folder}.`)
  for (const [command, ...args] of install(folder)) {
    const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" })
    if (status !== 0) throw new Error(error?.message ?? /^(?:npm )?error.*/im.exec(stderr)?.[0] ?? stderr.trim())
  }
  return { folder, file }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

/** Microseconds of CPU of a process and of those it started, the ended ones included: `/proc` counts hundredths of a second. */
const cpuOf = (pid: number | string): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const [user, system, endedUser, endedSystem] = stat.slice(stat.lastIndexOf(")")).split(" ").slice(12, 16).map(Number)
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").split(" ").filter((child) => child !== "")
  )
  const own = 10_000 * (user! + system! + endedUser! + endedSystem!)
  return children.reduce((sum, child) => sum + cpuOf(child), own)
}

const contentOf = (text: string): string | undefined => /"content":\s*"(x+)"/.exec(text)?.[1]

/** Waits for the service's own answer, so that what is measured is known to come from there. */
const answers = async ({ headers, pathOf, port }: Door, child: ChildProcess): Promise<void> => {
  let said = ""
  child.stderr!.on("data", (chunk: Buffer) => said = `${said}${chunk}`.slice(-1000))
  for (const until = Date.now() + AT_MOST; Date.now() < until && child.exitCode === null;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${pathOf("whole")}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(question("whole"))
      })
      const text = await response.text()
      if (response.status === 200 && contentOf(text) === contentOf(answerText)) return
      said = text
    } catch {
      // it does not listen yet
    }
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  child.kill("SIGKILL")
  throw new Error(`it does not give the service's answer: ${said.trim().split("\n").at(-1)}`)
}

const startPeer = async (peer: Peer, endpoint: string): Promise<Edge | undefined> => {
  try {
    const { file, folder } = installed(peer)
    const configFile = join(folder, "config.yaml")
    writeFileSync(configFile, JSON.stringify(peer.config?.(endpoint) ?? {}))
    const port = await freePort()
    const [program, ...args] = peer.command(file, port, configFile)
    const child = spawn(program, args, { env: { ...process.env, ...peer.env }, stdio: ["ignore", "ignore", "pipe"] })
    const end = () => void child.kill("SIGKILL")
    process.on("exit", end)
    const name = `${peer.name} ${peer.version}`
    const door = { name, port, pathOf: v1Path, agent: agentOf(), headers: peer.headers?.(endpoint) ?? {} }
    await answers(door, child)
    return edgeOf(door, { name, cpu: () => cpuOf(child.pid!), end, share: peer.share })
  } catch (error) {
    console.error(`${peer.name} ${peer.version} is left out: ${(error as Error).message}`)
    return undefined
  }
}

export const peers = async (endpoint: string, sizes: Rounds): Promise<Section> => {
  const begin = async () => {
    const edges = [await start("gateway", endpoint)]
    for (const peer of [portkey, litellm]) {
      edges.push(...[await startPeer(peer, endpoint)].filter((edge) => edge !== undefined))
    }
    return edges
  }
  const measured = await measureProcesses(begin, 1, sizes)
  return {
    title: "peers: requests per CPU second of our gateway, over those of others; whole answers, 64 at a time",
    rows: [...measured].map(([name, taken]) => ({
      what: name,
      unit: "x",
      figure: ratioOf(measured, name, "gateway"),
      least: name === "gateway" ? undefined : 5,
      cpu: figureOf(taken)
    }))
  }
}
