/**
 * A `redis-server` of the tests' own: on a free port of the loopback interface, without a disk, and ended with the test.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createConnection, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { local } from "../support/Certificates.ts"

/** Whether there is one on this machine. */
export const hasRedis = spawnSync("redis-server", ["--version"]).status === 0

/** Whether it speaks TLS, which is chosen when it is built. */
export const hasTls = spawnSync("redis-cli", ["--help"], { encoding: "utf8" }).stdout?.includes("--tls") === true

// oxlint-disable-next-line no-console -- so that nobody takes what was skipped for what passed
if (!hasRedis) console.warn("redis-server cannot be had here: what needs it is skipped")

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/**
 * A port that nobody listens on. It is below those that the system gives to whoever asks for any: until it is taken nobody
 * else gets it.
 */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    // oxlint-disable-next-line no-await-in-loop -- until one is free
    if (await isFree(port)) return port
  }
}

/** Those that run: a test that is cut short leaves none behind. */
const running = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

export class RedisServer implements AsyncDisposable {
  readonly port: number
  private readonly directory = mkdtempSync(join(tmpdir(), "evenkeel-redis-"))
  private readonly args: ReadonlyArray<string>
  private process: ChildProcess | undefined

  private constructor(port: number, args: ReadonlyArray<string>) {
    this.port = port
    this.args = args
  }

  static async start(...args: ReadonlyArray<string>): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args)
    await server.up()
    return server
  }

  /** One that is not started yet. */
  static async later(...args: ReadonlyArray<string>): Promise<RedisServer> {
    return new RedisServer(await freePort(), args)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it, with nothing in it. */
  async up(): Promise<void> {
    const usual = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", this.directory]
    this.process = spawn("redis-server", ["--port", String(this.port), ...usual, ...this.args], { stdio: "ignore" })
    const { process: started } = this
    running.add(started)
    started.once("exit", () => running.delete(started))
    for (let i = 0; i < 200 && started.exitCode === null; i++) {
      if (/^\+PONG|^-NOAUTH/.test(await this.command("PING").catch(() => ""))) return
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    throw new Error(`redis-server did not start on port ${this.port}: it ended with ${started.exitCode}`)
  }

  /** Ends it, as a crash does. */
  async kill(): Promise<void> {
    const { process } = this
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return
    const ended = new Promise((resolve) => process.once("exit", resolve))
    process.kill("SIGKILL")
    await ended
  }

  /** It holds its connections, and says nothing. */
  pause(): void {
    this.process?.kill("SIGSTOP")
  }

  resume(): void {
    this.process?.kill("SIGCONT")
  }

  /** One command over a connection of its own. Returns what came back, as it came. */
  command(...words: ReadonlyArray<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(this.port, "127.0.0.1")
      let answer = ""
      socket.setTimeout(2000, () => socket.destroy(new Error("it does not answer")))
      socket.once("error", reject)
      socket.on("data", (data) => {
        answer += data.toString()
        if (answer.endsWith("\r\n")) {
          socket.destroy()
          resolve(answer)
        }
      })
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`)
    })
  }

  /** Files of a certificate, as arguments of a server that speaks TLS on a port of its own. */
  static withTls(port: number): ReadonlyArray<string> {
    const directory = mkdtempSync(join(tmpdir(), "evenkeel-tls-"))
    process.once("exit", () => rmSync(directory, { recursive: true, force: true }))
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")]
    writeFileSync(cert, local.cert)
    writeFileSync(key, local.key)
    const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert]
    return ["--tls-port", String(port), "--tls-auth-clients", "no", "--tls-cluster", "yes", ...files]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume()
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Three servers that are one Cluster, which name each other by their addresses. */
export class RedisCluster implements AsyncDisposable {
  /** Port of one of them; of TLS, where they speak it. */
  readonly port: number
  private readonly servers: ReadonlyArray<RedisServer>

  private constructor(port: number, servers: ReadonlyArray<RedisServer>) {
    this.port = port
    this.servers = servers
  }

  static async start(transport: "plain" | "tls", ...args: ReadonlyArray<string>): Promise<RedisCluster> {
    const nodes = await Promise.all([0, 1, 2].map(async () => {
      const [bus, tls] = [await freePort(), await freePort()]
      const own = ["--cluster-enabled", "yes", "--cluster-port", String(bus)]
      const server = await RedisServer.start(...own, ...(transport === "tls" ? RedisServer.withTls(tls) : []), ...args)
      return { server, bus, port: transport === "tls" ? tls : server.port }
    }))
    const servers = nodes.map(({ server }) => server)
    for (const [i, { server }] of nodes.entries()) {
      await server.command(
        "CLUSTER",
        "ADDSLOTSRANGE",
        String(Math.ceil(i * SLOTS)),
        String(Math.ceil((i + 1) * SLOTS) - 1)
      )
      for (const { bus, port } of nodes) {
        await server.command("CLUSTER", "MEET", "127.0.0.1", String(port), String(bus))
      }
    }
    for (let i = 0; i < 400; i++) {
      const states = await Promise.all(servers.map((server) => server.command("CLUSTER", "INFO")))
      if (states.every((state) => state.includes("cluster_state:ok"))) return new RedisCluster(nodes[0]!.port, servers)
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    throw new Error("the Cluster did not form")
  }

  /** How many keys each holds. */
  async sizes(): Promise<ReadonlyArray<number>> {
    return Promise.all(this.servers.map(async (server) => Number((await server.command("DBSIZE")).slice(1))))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()))
  }
}

/** Slots of each of the three. */
const SLOTS = 16_384 / 3
