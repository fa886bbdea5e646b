/**
 * What a resource authenticates with: a key, a token provider, Microsoft Entra ID, or nothing; and the headers that a
 * gateway before it wants.
 *
 * A key's header is built once. A token is asked for at each attempt, as the official client does: caching and early
 * renewal are the provider's work, and `@azure/identity` does it.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import type { ResourceConfig } from "../config/Config.ts"

/** A token could not be had. The message is the provider's own. */
export class CredentialError extends Data.TaggedError("CredentialError")<{
  readonly message: string
}> {}

/** Gives a bearer token. One that caches may be told by `renew` that what it gave was refused. */
export interface TokenProvider {
  (): Promise<string> | string
  readonly renew?: () => void
}

/**
 * Where tokens of Microsoft Entra ID come from: for a scope, a provider that is shared by all resources of that scope.
 * The default says what is missing; `@evenkeel/node` provides the real one.
 */
export const EntraTokens: Context.Reference<(scope: string) => TokenProvider> = Context.Reference<
  (scope: string) => TokenProvider
>("@evenkeel/core/deployment/Credential/EntraTokens", {
  defaultValue: () => () => () =>
    Promise.reject(new Error("auth: \"entra\" needs @evenkeel/node, or a token provider of your own"))
})

type AuthHeaders = { readonly [name: string]: string }

/**
 * Headers that authenticate one attempt.
 */
export interface Credential {
  /** Headers that never change; `undefined` when a token has to be asked for. A function, so that nothing prints them. */
  readonly fixed: (() => AuthHeaders) | undefined
  readonly headers: Effect.Effect<AuthHeaders, CredentialError>
  /** Whether asking again may give another credential, so that a 401 is worth one repetition. */
  readonly isRenewable: boolean
  /** Forgets what was cached, where something was. */
  readonly renew: () => void
}

/** The first line of what a provider threw, without anything in it that is long enough to be a secret. */
export const withoutSecrets = (cause: unknown): string => {
  const line = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]!.slice(0, 300)
  return line.replaceAll(/[\w.~+/=-]{24,}/g, "…")
}

const fixed = (headers: AuthHeaders): Credential => ({
  fixed: () => headers,
  headers: Effect.sync(() => headers),
  isRenewable: false,
  renew: () => {}
})

const fromProvider = (make: () => TokenProvider, more: AuthHeaders): Credential => {
  let provider: TokenProvider | undefined
  return {
    fixed: undefined,
    isRenewable: true,
    renew: () => {
      provider?.renew?.()
      provider = undefined
    },
    headers: Effect.tryPromise({
      try: async () => {
        provider ??= make()
        const token = await provider()
        if (typeof token !== "string" || token === "") throw new Error("the token provider gave no token")
        return { ...more, authorization: `Bearer ${token}` }
      },
      catch: (cause) => new CredentialError({ message: withoutSecrets(cause) })
    })
  }
}

/**
 * Makes the credential of a resource. Its headers are for a gateway before it, and go to nobody else either.
 */
export const make = (
  { auth, headers, provider }: Pick<ResourceConfig, "auth" | "headers" | "provider">,
  entraTokens: (scope: string) => TokenProvider
): Credential => {
  const more = Record.map(headers, Redacted.value)
  switch (auth._tag) {
    case "Key": {
      const key = Redacted.value(auth.key)
      return fixed({ ...more, ...(provider === "azure" ? { "api-key": key } : { authorization: `Bearer ${key}` }) })
    }
    case "TokenProvider":
      return fromProvider(() => auth.provider, more)
    case "Entra":
      return fromProvider(() => entraTokens(auth.scope), more)
    case "None":
      return fixed(more)
  }
}
