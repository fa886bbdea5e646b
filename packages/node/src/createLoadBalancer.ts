/**
 * The promise facade: a load balancer for plain TypeScript.
 *
 * **Example** (A first program)
 *
 * ```ts
 * const lb = createLoadBalancer(config)
 * try {
 *   const answer = await lb.openai.chat.completions.create({ model: "gpt-4o", messages })
 * } finally {
 *   await lb.close()
 * }
 * ```
 */
import {
  type CallOptions,
  type CheckOptions,
  type CheckReport,
  type Config,
  type ConfigInput,
  Deployments,
  EntraTokens,
  type Event,
  type ExplainParams,
  type Explanation,
  type LayerOptions,
  LoadBalancer,
  type Snapshot,
  Telemetry,
  type Transport
} from "@evenkeel/core"
import {
  aLayer,
  decodeBeside,
  invalidConfig,
  issuesOf,
  layerRules,
  type Linked,
  LinkedList
} from "@evenkeel/core/internal"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type OpenAI from "openai"
import * as BalancedFetch from "./BalancedFetch.ts"
import * as BalancedOpenAI from "./BalancedOpenAI.ts"
import * as ConfigSource from "./ConfigSource.ts"
import * as DefaultTransport from "./DefaultTransport.ts"
import * as EntraId from "./EntraId.ts"
import { eventsOf } from "./EventIterator.ts"
import * as GenAiPrices from "./GenAiPrices.ts"
import * as RedisFleetStore from "./RedisFleetStore.ts"
import * as UnrefClock from "./UnrefClock.ts"
import { type BalancerWarning, emitWarning, start as startWarnings } from "./Warnings.ts"

/**
 * A running load balancer.
 */
export interface LoadBalancerClient<Client = OpenAI> extends AsyncDisposable {
  /** The official OpenAI client; every call through it is balanced. */
  readonly openai: Client
  /** The same client for the requests of one session, which should meet a warm prompt cache. */
  readonly session: (id: string) => Client
  /** A balanced fetch, for any client that accepts one. Of a URL only path and query count, whatever its host. */
  readonly fetch: typeof fetch
  /** Where a request with these parameters would go now, and why. `String` of it is a paragraph. Nothing is sent. */
  readonly explain: (params: ExplainParams, options?: CallOptions) => Explanation
  /**
   * Looks at every resource and deployment, now, busy ones too: what is wrong, where, and what to do about it. `String` of
   * the report is a line for each. Free, unless `completion` asks each deployment for a token.
   */
  readonly check: (options?: CheckOptions) => Promise<CheckReport>
  /** The state of everything, as plain data. */
  readonly snapshot: () => Snapshot
  /** What happens from now on; a reader that is slower than 1,024 events loses the oldest. Ends with `close`. */
  readonly events: () => AsyncIterableIterator<Event>
  /** The live set, to change while it runs. */
  readonly deployments: {
    readonly add: (resource: ConfigInput["resources"][number]) => Promise<void>
    readonly update: (id: string, change: Parameters<Deployments["Service"]["update"]>[1]) => Promise<boolean>
    readonly drain: (id: string) => Promise<boolean>
    readonly remove: (id: string) => Promise<boolean>
  }
  /**
   * Ends what is in flight, closes every connection and stops the checks. A process whose own work is done ends without it
   * too, but telemetry that is not exported by then is lost.
   */
  readonly close: () => Promise<void>
}

/**
 * Options besides the configuration. Their layers are built at once, so none may wait while it is built.
 */
export interface LoadBalancerClientOptions<Client = OpenAI> extends LayerOptions {
  /**
   * The class `OpenAI` of your own copy of the official client, which `lb.openai` is an instance of then, and so are its
   * errors. Needed in CommonJS, where `require("openai")` is another copy than `import` gives.
   */
  readonly openai?: BalancedOpenAI.OpenAIClass<Client> | undefined
  /** Replaces undici (on Bun and Deno: their own `fetch`), as for tests in memory. */
  readonly transport?: Layer.Layer<Transport> | undefined
  /**
   * What the balancer runs with: a tracer, loggers, a registry of metrics; `OtlpLive` or `OtelGlobal` of `@evenkeel/otel`.
   * Without a tracer there are no spans.
   */
  readonly instrumentation?: Layer.Layer<never, Error> | undefined
  /**
   * Told once of each resource and deployment that gets no traffic, and of each cause: a wrong key, a name that does not
   * exist. Default: `process.emitWarning` with the type `EvenkeelWarning`, which Node prints; `false` says nothing.
   */
  readonly warnings?: ((warning: BalancerWarning) => void) | false | undefined
}

const rules = {
  ...layerRules,
  openai: {
    expected: "the class `OpenAI` of the package openai",
    holds: (value: unknown) => typeof value === "function" && "OpenAIError" in value
  },
  transport: aLayer("UndiciTransport.layer()"),
  instrumentation: aLayer("OtlpLive of @evenkeel/otel"),
  warnings: {
    expected: "a function that is told, or `false`",
    holds: (value: unknown) => value === false || typeof value === "function"
  }
}

/**
 * Creates a load balancer and starts its checks at once.
 *
 * @throws LoadBalancerError with the reason `InvalidConfig`, which lists every mistake
 */
export function createLoadBalancer<Client = OpenAI>(
  config: ConfigInput,
  options?: LoadBalancerClientOptions<Client>
): LoadBalancerClient<Client>
// what `ReturnType` sees
export function createLoadBalancer(config: ConfigInput, options?: LoadBalancerClientOptions): LoadBalancerClient
export function createLoadBalancer(config: ConfigInput, options: LoadBalancerClientOptions = {}): LoadBalancerClient {
  const decoded = decodeBeside(config, options, rules)
  if (Result.isFailure(decoded)) throw invalidConfig("the given object", decoded.failure)
  return start(decoded.success, options)
}

/**
 * The same with the configuration of the environment: `EVENKEEL_CONFIG` (a YAML or JSON file, or its text), else the
 * variables of Azure OpenAI, else `OPENAI_API_KEY`.
 *
 * @throws LoadBalancerError with the reason `InvalidConfig`, which lists every mistake
 */
export function createLoadBalancerFromEnvironment<Client = OpenAI>(
  options?: LoadBalancerClientOptions<Client>
): LoadBalancerClient<Client>
export function createLoadBalancerFromEnvironment(options?: LoadBalancerClientOptions): LoadBalancerClient
export function createLoadBalancerFromEnvironment(options: LoadBalancerClientOptions = {}): LoadBalancerClient {
  const issues = issuesOf(options, rules)
  if (issues.length > 0) throw invalidConfig("the given options", issues)
  const read = ConfigSource.read(process.env)
  if (Result.isFailure(read)) throw invalidConfig(read.failure.source, read.failure.issues)
  return start(read.success, options)
}

/** A balancer can be used as soon as it is made, so nothing of it is waited for. */
const buildNow = <A>(layer: Layer.Layer<A, Error>, scope: Scope.Closeable): Context.Context<A> => {
  const exit = Effect.runSyncExit(Layer.buildWithScope(layer, scope))
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  if (Cause.isAsyncFiberError(error)) error.fiber.interruptUnsafe()
  Effect.runFork(Scope.close(scope, exit))
  if (!Cause.isAsyncFiberError(error)) throw error
  throw new TypeError(
    "A layer in the options waits while it is built, and createLoadBalancer does not wait. Build the layer before, or use LoadBalancer.layer in an Effect program."
  )
}

/** A call that is under way. */
class Running implements Linked<Running> {
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  list: LinkedList<Running> | undefined
  previous: Running | undefined
  next: Running | undefined
}

const start = (settings: Config, options: LoadBalancerClientOptions): LoadBalancerClient => {
  const scope = Effect.runSync(Scope.make())
  const transport = options.transport ?? DefaultTransport.layer(settings)
  // nobody has chosen a logger here
  const telemetry = options.telemetry ?? Telemetry.layer({ logs: false })
  const prices = options.prices ?? GenAiPrices.layerLater
  const whenReady: typeof GenAiPrices.whenLoaded = options.prices === undefined ? GenAiPrices.whenLoaded : identity
  const fleet = options.fleet ?? RedisFleetStore.layerOf(settings)
  const layer = LoadBalancer.layerDecoded(settings, { ...options, telemetry, prices, fleet }).pipe(
    Layer.provide(transport),
    Layer.provide(Layer.succeed(EntraTokens, EntraId.makeTokens())),
    Layer.provide(UnrefClock.layerWatch),
    // exporters watch too
    Layer.provideMerge(Layer.provide(options.instrumentation ?? Layer.empty, UnrefClock.layer))
  )
  const context = buildNow(layer, scope)
  const run = Effect.runForkWith(context)
  const balancer = Context.get(context, LoadBalancer)
  const deployments = Context.get(context, Deployments)

  let closing: Promise<void> | undefined
  const whenClosing = new AbortController()
  const { signal } = whenClosing
  const { warnings = emitWarning } = options
  if (warnings !== false) signal.addEventListener("abort", startWarnings(deployments, warnings))
  const running = new LinkedList<Running>()
  const fork: BalancedFetch.FetchOptions["fork"] = (effect, onExit) => {
    const call = new Running()
    const begun = closing === undefined ? whenReady(effect) : Effect.interrupt
    const ended = Effect.onExit(begun, (exit) =>
      Effect.sync(() => {
        running.delete(call)
        onExit(exit)
      }))
    running.add(call)
    const fiber = run(ended)
    call.fiber = fiber
    // code of the caller's own may have closed it while this began
    if (closing !== undefined) fiber.interruptUnsafe()
    return fiber
  }
  const fetch = BalancedFetch.make({ balancer, deployments, fork, closing: signal })
  const { modelTimeouts, timeouts } = settings
  const longest = Math.max(timeouts.total, ...Object.values(modelTimeouts).map(({ total }) => total))
  const openai = BalancedOpenAI.make(
    fetch,
    (model) => model === undefined ? longest : (modelTimeouts[model] ?? timeouts).total,
    options.openai
  )
  const close = () =>
    closing ??= (async () => {
      // first, so that who listens hears of it
      for (const { fiber } of running) fiber?.interruptUnsafe()
      whenClosing.abort()
      await Effect.runPromise(Scope.close(scope, Exit.void))
    })()
  return {
    openai,
    session: (id) => BalancedOpenAI.inSession(openai, id),
    fetch,
    explain: (params, options) => Effect.runSync(balancer.explain(params, options)),
    check: async (options) => {
      if (closing !== undefined) throw BalancedFetch.closed()
      return Effect.runPromise(whenReady(balancer.check(options)))
    },
    snapshot: () => Effect.runSync(balancer.snapshot),
    events: () => eventsOf(deployments.events, signal),
    deployments: {
      add: (resource) => Effect.runPromise(deployments.add(resource)),
      update: (id, change) => Effect.runPromise(deployments.update(id, change)),
      drain: (id) => Effect.runPromise(deployments.drain(id)),
      remove: (id) => Effect.runPromise(deployments.remove(id))
    },
    close,
    [Symbol.asyncDispose]: close
  }
}
