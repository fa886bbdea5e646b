/**
 * The store of a fleet over Redis or Valkey: one script call for each exchange.
 *
 * The client is an optional peer, `redis`, the one below `effect/persistence/Redis`. It is used by itself, since Effect's layer
 * of it knows no Cluster, and waits for a server that hangs when it is closed. It is loaded when the store is first used. A connection that failed, or that
 * does not answer, is dropped and made anew by a fiber of its own; meanwhile every exchange fails at once.
 */
import { type Config, EntraTokens, FleetError, type FleetHeard, FleetStore, type TokenProvider } from "@evenkeel/core"
import { type FleetConfig, watching, withoutSecrets } from "@evenkeel/core/internal"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { isIP } from "node:net"
import type { createClient } from "redis"
import { FIXED_KEYS, script } from "./FleetScript.ts"

/** How long a connection may take, in milliseconds. */
const CONNECT_TIMEOUT = 5000

/** How soon a new connection is tried after one failed, in milliseconds; it doubles up to the longest. */
const FIRST_RETRY = 250
const LONGEST_RETRY = 10_000

/** Sends one command whose first key is given. */
type Send = (firstKey: string, command: string, args: ReadonlyArray<string>) => Effect.Effect<unknown, FleetError>

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>

/**
 * Layer of the store at a Redis or Valkey.
 *
 * **Example** (A store of its own)
 *
 * ```ts
 * LoadBalancer.layer(config, { fleet: RedisFleetStore.layer({ redis: Redacted.make("redis://127.0.0.1:6379"), … }) })
 * ```
 */
export const layer = (options: FleetConfig): Layer.Layer<FleetStore> => Layer.effect(FleetStore, make(options))

/** The store that a configuration names, if it does. */
export const layerOf = ({ fleet }: Pick<Config, "fleet">): Layer.Layer<FleetStore> | undefined =>
  fleet === undefined ? undefined : layer(fleet)

const make = (options: FleetConfig): Effect.Effect<FleetStore["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    // not where this file is imported: Node's first hash takes 5 ms
    const sha = createHash("sha1").update(script).digest("hex")
    const tokens = yield* EntraTokens
    /** The connection, once it is made, or why there is none. */
    let connection = Deferred.makeUnsafe<Send, FleetError>()
    let isBroken = Deferred.makeUnsafe<void>()
    /** It is of no use any more: another connection is made. */
    const drop = (why: string): void => {
      connection = Deferred.makeUnsafe()
      Deferred.doneUnsafe(connection, Exit.fail(new FleetError({ message: why })))
      Deferred.doneUnsafe(isBroken, Exit.void)
    }

    let failures = 0
    const connected = Effect.gen(function*() {
      isBroken = Deferred.makeUnsafe<void>()
      // whoever waits already waits for this one
      if (Deferred.isDoneUnsafe(connection)) connection = Deferred.makeUnsafe()
      const send = yield* connect(options, tokens, yield* Effect.scope)
      Deferred.doneUnsafe(connection, Exit.succeed(send))
      failures = 0
      yield* Deferred.await(isBroken)
    }).pipe(
      Effect.scoped,
      Effect.catchCause((cause) =>
        Effect.sync(() => {
          failures++
          const message = wordsOf(cause.reasons.map((reason) => "error" in reason ? reason.error : reason)[0])
          Deferred.doneUnsafe(connection, Exit.fail(new FleetError({ message })))
        })
      )
    )
    const again = Effect.flatMap(Random.next, (random) => {
      const pause = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures, 10))
      return Effect.sleep(Math.ceil(pause * (0.5 + random)))
    })
    yield* Effect.forkScoped(watching(Effect.forever(Effect.andThen(connected, again))))

    return FleetStore.of({
      exchange: (said) =>
        Effect.suspend(() => {
          const root = `${options.prefix}:{${encodeURIComponent(said.realm)}}`
          const keys = [
            ...FIXED_KEYS.map((name) => `${root}:${name}`),
            ...said.quotas.map(({ key }) => `${root}:quota:${key}`)
          ]
          const args = [String(keys.length), ...keys, JSON.stringify(said)]
          const asked = connection
          return Effect.flatMap(Deferred.await(asked), (send) =>
            Effect.catchIf(
              send(keys[0]!, "EVALSHA", [sha, ...args]),
              ({ message }) => message.includes("NOSCRIPT"),
              () => send(keys[0]!, "EVAL", [script, ...args])
            ).pipe(
              // what the server refuses says nothing against the connection
              Effect.tapError(({ message }) => Effect.sync(() => isRefusal(message) ? undefined : drop(message))),
              Effect.flatMap(read),
              // what does not answer in time may answer later, and what is sent then would wait behind it
              Effect.onInterrupt(() =>
                Effect.sync(() => connection === asked ? drop("it does not answer in time") : undefined)
              )
            ))
        })
    })
  })

/** What the script answered, as an object whose lists are lists: Lua knows no empty ones. */
const read = (reply: unknown): Effect.Effect<FleetHeard, FleetError> =>
  Effect.try({
    try: () => {
      const heard = JSON.parse(String(reply)) as Record<string, unknown>
      for (const key of ["quotas", "marks", "rows", "owners"]) if (!Array.isArray(heard[key])) heard[key] = []
      return heard as unknown as FleetHeard
    },
    catch: () => new FleetError({ message: "its answer cannot be read" })
  })

/** What a client and a Cluster's have in common here. */
interface Openable {
  readonly on: (event: "error", listener: () => void) => unknown
  readonly connect: () => Promise<unknown>
  readonly destroy: () => void
}

const sent = (send: () => Promise<unknown>): Effect.Effect<unknown, FleetError> =>
  Effect.tryPromise({ try: send, catch: (cause) => new FleetError({ message: wordsOf(cause) }) })

const load = async () => {
  // in a `try`, so that bundlers take it for optional
  try {
    return await import("redis")
  } catch (cause) {
    throw new Error("redis cannot be loaded", { cause })
  }
}

const connect = (
  { auth, cluster, redis }: FleetConfig,
  tokens: (scope: string) => TokenProvider,
  scope: Scope.Scope
): Effect.Effect<Send, unknown> =>
  Effect.gen(function*() {
    const { createClient, createCluster } = yield* Effect.tryPromise({
      try: load,
      catch: () => new FleetError({ message: "`fleet` needs the package redis: install it beside @evenkeel/node" })
    })
    const credentials: Pick<ClientOptions, "credentialsProvider"> = auth === "entra"
      ? {
        credentialsProvider: {
          type: "async-credentials-provider",
          credentials: () => entraCredentials(tokens(ENTRA_SCOPE))
        }
      }
      : {}
    const url = Redacted.value(redis)
    // whoever makes connections anew is above
    const socket = { connectTimeout: CONNECT_TIMEOUT, reconnectStrategy: false } as const
    const common = { disableOfflineQueue: true, commandsQueueMaxLength: 100, socket, ...credentials }
    /** Connects; and whatever is under way then, it is ended with the scope at once. */
    const open = (client: Openable) =>
      Effect.gen(function*() {
        // what has no listener is thrown; it is told by the command that fails, too
        client.on("error", () => {})
        yield* Scope.addFinalizer(scope, Effect.ignore(Effect.try(() => client.destroy())))
        yield* Effect.timeout(
          sent(() => client.connect()),
          CONNECT_TIMEOUT
        )
      })
    if (cluster) {
      const defaults = { ...common, socket: { ...socket, ...tlsOf(url) }, ...secretsOf(url) }
      const nodes = createCluster({ rootNodes: [{ url }], defaults })
      let why: unknown
      nodes.on("error", (error: unknown) => why ??= error)
      // by itself it says no more than that none of them can be had
      yield* Effect.mapError(open(nodes), (error) =>
        why === undefined ? error : new FleetError({ message: wordsOf(why) }))
      return (firstKey, command, args) =>
        sent(() => nodes.sendCommand(firstKey, false, [command, ...args]))
    }
    const client = createClient({ url, ...common })
    yield* open(client)
    client.unref()
    return (_, command, args) => sent(() => client.sendCommand([command, ...args]))
  })

/** TLS to all nodes of a cluster, by the name that their certificate has: it names them by their addresses alone. */
const tlsOf = (url: string): { readonly tls?: true; readonly servername?: string } => {
  const { hostname, protocol } = new URL(url)
  if (protocol !== "rediss:") return {}
  return isIP(hostname.replaceAll(/[[\]]/g, "")) === 0 ? { tls: true, servername: hostname } : { tls: true }
}

/** User and password of a URL, for all nodes of a cluster. */
const secretsOf = (url: string): { readonly username?: string; readonly password?: string } => {
  const { password, username } = new URL(url)
  return {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) })
  }
}

/** Scope of a token for Azure Managed Redis, and whose it is: the user there is the token's own object id. */
const ENTRA_SCOPE = "https://redis.azure.com/.default"

const entraCredentials = (provider: TokenProvider): Promise<{ readonly username: string; readonly password: string }> =>
  Promise.resolve().then(provider).then(
    (token) => ({ username: objectIdOf(token), password: token }),
    (cause: unknown) => Promise.reject(new Error(`no credential: ${withoutSecrets(cause)}`))
  )

/** Whose a token is; nobody's where it cannot be read, which the server then refuses. */
const objectIdOf = (token: string): string => {
  try {
    return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).oid ?? ""
  } catch {
    return ""
  }
}

/** Errors of a server that is there, and stays so: it is full, busy, forbids the command, or something else is under our key. */
const isRefusal = (why: string): boolean => /^(?:OOM|WRONGTYPE|BUSY|NOPERM|MISCONF|ERR)\b/.test(why)

/** What is wrong, in its own words, without the address and what is in it. */
const wordsOf = (error: unknown): string => {
  if (error instanceof FleetError) return error.message
  if (!(error instanceof Error)) return "it cannot be reached"
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined
  if (error.message.startsWith("MOVED")) return "it is a Cluster: set `cluster: true`"
  const words = code ?? (error.message === "" ? error.name : error.message)
  // one that does not know a command says it again, with the password in it
  return words.replace(/,? with args beginning with.*$/s, "").replaceAll(/rediss?:\/\/\S+/g, "redis://…").slice(0, 200)
}
