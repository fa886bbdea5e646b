/**
 * Tokens of Microsoft Entra ID, from `@azure/identity`: an optional peer that is loaded when the first token is asked
 * for, and not before.
 */
import type * as AzureIdentity from "@azure/identity"
import { EntraTokens, type TokenProvider } from "@evenkeel/core/deployment/Credential"
import * as Layer from "effect/Layer"

/** What is used of `@azure/identity`. */
export type Identity = Pick<typeof AzureIdentity, "DefaultAzureCredential" | "getBearerTokenProvider">

const load = async (): Promise<Identity> => {
  try {
    return await import("@azure/identity")
  } catch (cause) {
    throw new Error("auth: \"entra\" needs the package @azure/identity: install it beside @evenkeel/node", { cause })
  }
}

/**
 * Gives one token provider for each scope. All resources of a scope share it, and its cache.
 */
export const makeTokens = (identity: () => Promise<Identity> = load): (scope: string) => TokenProvider => {
  const providers = new Map<string, Promise<() => Promise<string>>>()
  let credential: InstanceType<Identity["DefaultAzureCredential"]> | undefined
  const make = async (scope: string) => {
    const { DefaultAzureCredential, getBearerTokenProvider } = await identity()
    credential ??= new DefaultAzureCredential()
    return getBearerTokenProvider(credential, scope)
  }
  return (scope) => async () => {
    let provider = providers.get(scope)
    if (provider === undefined) {
      provider = make(scope)
      providers.set(scope, provider)
      // a package that could not be loaded may be there the next time
      provider.catch(() => providers.delete(scope))
    }
    return (await provider)()
  }
}

/** Layer that provides the tokens to the balancer. */
export const layer: Layer.Layer<never> = Layer.sync(EntraTokens, () => makeTokens())
