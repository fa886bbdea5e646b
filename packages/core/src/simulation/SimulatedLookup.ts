/**
 * Answers to requests that name no deployment: models, and everything that a resource stores.
 */
import type { SimulatedAnswer } from "./SimulatedAnswer.ts"
import type { SimulatedDeployment } from "./SimulatedDeployment.ts"
import * as Errors from "./SimulatedErrors.ts"
import type { SimulatedExchange } from "./SimulatedExchange.ts"
import { faultInside } from "./SimulatedOperations.ts"
import * as Prompt from "./SimulatedPrompt.ts"
import * as Store from "./SimulatedStore.ts"

/**
 * Answers a request that names no deployment.
 */
export const lookUp = (
  exchange: SimulatedExchange,
  deployments: Iterable<SimulatedDeployment>
): SimulatedAnswer => {
  const fault = faultInside(exchange)
  if (fault !== undefined) return fault
  const { id, operation } = exchange.route!
  const answer = (value: unknown) => exchange.json(JSON.stringify(value))
  if (operation === "models") {
    const models = [...new Set(Array.from(deployments, (deployment) => deployment.model))]
    return answer({ object: "list", data: models.map(describeModel) })
  }
  if (operation === "model") {
    const known = Array.from(deployments).find((deployment) => deployment.model === id || deployment.name === id)
    return known === undefined
      ? exchange.refuse(Errors.notFound(`Model with id '${id}' not found.`))
      : answer(describeModel(known.model))
  }
  return stored(exchange)
}

/**
 * Makes, gives, cancels or deletes what is stored: `/files`, `/files/file-1`, `/threads/thread_1/messages`. What the path
 * or the body refers to must be here.
 */
const stored = (exchange: SimulatedExchange): SimulatedAnswer => {
  const { request: { method }, resource: { store } } = exchange
  const [collection = "", id = "", part, partId] = exchange.route!.rest
  const kind = Store.kinds[collection]!
  const answer = (value: unknown) => exchange.json(JSON.stringify(value))
  const fields = Prompt.parse(exchange.request.body) ?? {}
  const isNamed = id.startsWith(kind.prefix)
  const named = [...(isNamed ? [id] : []), ...(partId === undefined ? [] : [partId]), ...Store.referencesOf(fields)]
  const absent = named.find((one) => store.get(one) === undefined)
  if (absent !== undefined) return exchange.refuse(Store.missing(absent))

  const make = ({ object, prefix }: Store.Kind, own = `${prefix}${exchange.id}`) => {
    const { metadata = {}, model, purpose } = fields
    const file = object === "file" ? uploaded(exchange.request.body) : undefined
    const made = { id: own, object, created_at: exchange.created, model, purpose, metadata, ...file }
    store.put(own, { object: made })
    return answer(made)
  }
  const list = (prefix: string) =>
    answer({ object: "list", data: store.list(prefix).map(({ object }) => object), has_more: false })
  if (!isNamed) {
    if (id === "") return method === "POST" ? make(kind) : list(kind.prefix)
    // a thread and its run, made together
    return Store.parts[id] === undefined ? exchange.refuseAs("not-found") : make(Store.parts[id])
  }
  const found = store.get(id)!
  const isReady = found.readyAt <= exchange.now
  if (part === "cancel") {
    if (isReady && kind.object === "response") return answer(found.object)
    const cancelled = { ...found.pending, status: "cancelled" }
    store.put(id, { ...found, object: cancelled, readyAt: exchange.now })
    return answer(cancelled)
  }
  if (part === "content") return answer({ content: id })
  if (part !== undefined) {
    const of = Store.parts[part]
    if (of === undefined) return answer({ object: "list", data: [], has_more: false })
    if (partId !== undefined) return answer(store.get(partId)!.object)
    if (method === "GET") return list(of.prefix)
    // what is put into a vector store keeps its id
    return typeof fields["file_id"] === "string" ? answer({ id: fields["file_id"], object: of.object }) : make(of)
  }
  if (method === "DELETE") {
    store.remove(id)
    return answer({ id, object: `${kind.object}.deleted`, deleted: true })
  }
  return answer(isReady ? found.object : found.pending)
}

/** What is told of a file, by the form in which it came. */
const uploaded = (form: string): Prompt.Json => {
  const told = { filename: "file", bytes: 0, purpose: undefined as string | undefined, status: "processed" }
  const edge = form.slice(0, form.indexOf("\r\n"))
  if (!edge.startsWith("--")) return told
  for (const part of `\r\n${form}`.split(`\r\n${edge}`)) {
    const end = part.indexOf("\r\n\r\n")
    const head = part.slice(0, end)
    const content = part.slice(end + 4)
    const filename = /; filename="([^"]*)"/i.exec(head)?.[1]
    if (filename !== undefined) {
      told.filename = filename
      told.bytes = new TextEncoder().encode(content).length
    } else if (/; name="purpose"/i.test(head)) told.purpose = content
  }
  return told
}

const describeModel = (model: string): unknown => ({
  id: model,
  object: "model",
  created: 1_715_367_049,
  owned_by: "system"
})
