/**
 * Words of the GenAI conventions for what is ours.
 */
import type { ResourceConfig } from "../config/Config.ts"
import type { Operation } from "../request/LlmRequest.ts"

/** `gen_ai.provider.name`. A compatible service speaks OpenAI's API, whoever it is. */
export const providerName = (provider: ResourceConfig["provider"]): string =>
  provider === "azure" ? "azure.ai.openai" : "openai"

/** `gen_ai.operation.name`, where there is one: responses are chat by another protocol. */
export const operationName = (operation: Operation): string | undefined =>
  operation === "other" ? undefined : operation === "responses" ? "chat" : operation
