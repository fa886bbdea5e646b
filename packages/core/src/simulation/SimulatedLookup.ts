/**
 * Answers to requests that name no deployment: models, stored responses, conversations.
 */
import type { SimulatedAnswer } from "./SimulatedAnswer.ts"
import type { SimulatedDeployment } from "./SimulatedDeployment.ts"
import * as Errors from "./SimulatedErrors.ts"
import type { SimulatedExchange } from "./SimulatedExchange.ts"
import { faultInside } from "./SimulatedOperations.ts"

/**
 * Answers a request that names no deployment.
 */
export const lookUp = (
  exchange: SimulatedExchange,
  deployments: Iterable<SimulatedDeployment>
): SimulatedAnswer => {
  const fault = faultInside(exchange, undefined, 0)
  if (fault !== undefined) return fault
  const { id, operation } = exchange.route!
  const { store } = exchange.resource
  const answer = (value: unknown) => exchange.json(JSON.stringify(value))
  const missing = (what: string) => exchange.refuse(Errors.notFound(`${what} with id '${id}' not found.`))
  switch (operation) {
    case "models": {
      const models = [...new Set(Array.from(deployments, (deployment) => deployment.model))]
      return answer({ object: "list", data: models.map(describeModel) })
    }
    case "model": {
      const known = Array.from(deployments).find((deployment) => deployment.model === id || deployment.name === id)
      return known === undefined ? missing("Model") : answer(describeModel(known.model))
    }
    case "createConversation":
      return answer(store.createConversation(`conv_${exchange.id}`, exchange.now))
    case "conversation": {
      const found = store.conversation(id)
      return found === undefined ? missing("Conversation") : answer(found.object)
    }
    case "deleteConversation": {
      const removed = store.removeConversation(id)
      return removed ? answer({ id, object: "conversation.deleted", deleted: true }) : missing("Conversation")
    }
    case "deleteResponse":
      return store.remove(id) ? answer({ id, object: "response.deleted", deleted: true }) : missing("Response")
    case "cancelResponse": {
      const found = store.get(id)
      if (found === undefined) return missing("Response")
      if (found.readyAt <= exchange.now) return answer(found.object)
      const cancelled = { ...found.pending, status: "cancelled" }
      store.put(id, { ...found, object: cancelled, readyAt: exchange.now })
      return answer(cancelled)
    }
    default: {
      const found = store.get(id)
      if (found === undefined) return missing("Response")
      return answer(found.readyAt <= exchange.now ? found.object : found.pending)
    }
  }
}

const describeModel = (model: string): unknown => ({
  id: model,
  object: "model",
  created: 1_715_367_049,
  owned_by: "system"
})
