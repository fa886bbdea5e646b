/**
 * Tokens of Microsoft Entra ID, from `@azure/identity`: an optional peer that is loaded when the first token is asked
 * for, and not before.
 */
import { EntraTokens, type TokenProvider } from "@evenkeel/core"
import * as Layer from "effect/Layer"

/** What is used of `@azure/identity`. Its own types are there only where it is installed. */
export interface Identity {
  readonly DefaultAzureCredential: new() => Credential
  getBearerTokenProvider(credential: Credential, scope: string): () => Promise<string>
}

/** Its `TokenCredential`. */
export interface Credential {
  getToken(scopes: string | Array<string>): Promise<{ token: string; expiresOnTimestamp: number } | null>
}

const load = async (): Promise<Identity> => {
  try {
    return await import("@azure/identity")
  } catch (cause) {
    throw new Error("auth: \"entra\" needs the package @azure/identity: install it beside @evenkeel/node", { cause })
  }
}

/** Refusals within this many milliseconds of a renewal are of what was under way, and renew nothing again. */
const RENEWED_LATELY = 10_000

/**
 * Gives one token provider for each scope. All resources of a scope share it, and its cache; a renewal drops both, the
 * credential with its own cache included.
 */
export const makeTokens = (identity: () => Promise<Identity> = load): (scope: string) => TokenProvider => {
  const providers = new Map<string, TokenProvider>()
  let credential: Credential | undefined
  const make = (scope: string): TokenProvider => {
    let made: Promise<() => Promise<string>> | undefined
    let renewedAt = -Infinity
    const get = () => {
      if (made === undefined) {
        made = identity().then(({ DefaultAzureCredential, getBearerTokenProvider }) => {
          credential ??= new DefaultAzureCredential()
          return getBearerTokenProvider(credential, scope)
        })
        // a package that could not be loaded may be there the next time
        made.catch(() => {
          made = undefined
        })
      }
      return made.then((provider) => provider())
    }
    const renew = () => {
      if (performance.now() - renewedAt < RENEWED_LATELY) return
      renewedAt = performance.now()
      made = undefined
      credential = undefined
    }
    return Object.assign(get, { renew })
  }
  return (scope) => {
    let provider = providers.get(scope)
    if (provider === undefined) {
      provider = make(scope)
      providers.set(scope, provider)
    }
    return provider
  }
}

/** Layer that provides the tokens to the balancer. */
export const layer: Layer.Layer<never> = Layer.sync(EntraTokens, () => makeTokens())
