/**
 * Takes over a configuration that changed while the gateway runs: its deployments, and the gateway's keys and limits. One that
 * is wrong is refused with all its mistakes, and the one in use stays. What else differs needs a restart, and is named.
 */
import { type Config, Deployments, type GatewayConfig, type LoadBalancerError } from "@evenkeel/core"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import { statSync } from "node:fs"
import type { ConfigSourceError } from "../ConfigSource.ts"
import { Gateway } from "./Gateway.ts"

/** How often it is looked whether the file is another, in milliseconds. Watching would miss files that are put in place. */
const LOOK_EVERY = 1000

/** Sections that are read at the start alone. */
const lasting = [
  "defaultResource",
  "session",
  "health",
  "failover",
  "timeouts",
  "modelTimeouts",
  "quota",
  "fleet"
] as const

/** Of the gateway's own. */
const listening = ["host", "port", "operator", "maxHeaders", "receive", "keepAlive"] as const

/** What differs and is not taken over. */
export const unchangeable = (before: Config, after: Config): ReadonlyArray<string> => [
  ...lasting.filter((key) => !Equal.equals(before[key], after[key])),
  ...listening.filter((key) => !Equal.equals(before.gateway[key], after.gateway[key])).map((key) => `gateway.${key}`)
]

/**
 * Reads the configuration again, and takes it over.
 *
 * @param began the one that it began with
 * @param keysBefore those in use
 */
const reload = (
  began: Config,
  keysBefore: Keys,
  read: Effect.Effect<Config, ConfigSourceError>
): Effect.Effect<Keys, never, Gateway | Deployments> =>
  Effect.gen(function*() {
    const config = yield* read
    const { configure } = yield* Gateway
    yield* (yield* Deployments).replace(config)
    configure(config.gateway)
    const rest = unchangeable(began, config)
    const { keys } = config.gateway
    const changed = changesOf(keysBefore, keys)
    if (changed !== "") yield* Effect.logInfo(`Keys of the gateway: ${changed}.`)
    if (keys.length === 0 && keysBefore.length > 0) {
      yield* Effect.logWarning("The gateway has no keys any more: it is open to this machine, and to no other.")
    }
    yield* Effect.logInfo(
      rest.length === 0
        ? "The configuration was read again."
        : `The configuration was read again; ${rest.join(", ")} ${rest.length === 1 ? "needs" : "need"} a restart.`
    )
    return keys
  }).pipe(
    Effect.catch((error: ConfigSourceError | LoadBalancerError) =>
      Effect.as(Effect.logError(`${error.message}\nThe configuration in use stays.`), keysBefore)
    )
  )

type Keys = GatewayConfig["keys"]

/** Names of keys that others lack. */
const beyond = (keys: Keys, others: Keys): ReadonlyArray<string> =>
  keys.map(({ name }) => name).filter((name) => !others.some((other) => other.name === name))

/** Which came and which went. */
const changesOf = (before: Keys, after: Keys): string =>
  [...beyond(after, before).map((name) => `+${name}`), ...beyond(before, after).map((name) => `-${name}`)].join(", ")

/** What tells a file from the one before: a link may lead to another. */
const stampOf = (file: string): string => {
  try {
    const { ino, mtimeMs, size } = statSync(file)
    return `${ino} ${mtimeMs} ${size}`
  } catch {
    return ""
  }
}

/**
 * Reads the configuration again whenever its file is another, and on SIGHUP, for ever.
 *
 * @param file where it is in one; `undefined` where only SIGHUP asks for it
 */
export const watch = (
  config: Config,
  read: Effect.Effect<Config, ConfigSourceError>,
  file: string | undefined
): Effect.Effect<never, never, Gateway | Deployments> =>
  Effect.suspend(() => {
    let isAsked = false
    let { keys } = config.gateway
    let stamp = file === undefined ? "" : stampOf(file)
    const ask = () => {
      isAsked = true
    }
    const look = Effect.suspend(() => {
      const now = file === undefined ? "" : stampOf(file)
      // a file that is not there is about to be
      const isOther = now !== "" && now !== stamp
      if (!isOther && !isAsked) return Effect.void
      isAsked = false
      stamp = now
      return Effect.map(reload(config, keys, read), (inUse) => {
        keys = inUse
      })
    })
    process.on("SIGHUP", ask)
    return Effect.forever(Effect.andThen(Effect.sleep(LOOK_EVERY), look)).pipe(
      Effect.ensuring(Effect.sync(() => process.off("SIGHUP", ask)))
    )
  })
