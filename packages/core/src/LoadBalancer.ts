/**
 * The balancer as a service: ask it as you would ask one deployment.
 *
 * **Example** (A first program)
 *
 * ```ts
 * import { LoadBalancer } from "@evenkeel/core"
 * import { LoadBalancerLive } from "@evenkeel/node"
 *
 * const program = Effect.gen(function*() {
 *   const lb = yield* LoadBalancer
 *   const answer = yield* lb.chat({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
 *   yield* Console.log(answer.choices[0]?.message.content)
 * })
 *
 * program.pipe(Effect.provide(LoadBalancerLive), NodeRuntime.runMain)
 * ```
 */
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionCreateParams } from "openai/resources/chat/completions"
import type { CreateEmbeddingResponse, EmbeddingCreateParams } from "openai/resources/embeddings"
import type { Response, ResponseCreateParams, ResponseStreamEvent } from "openai/resources/responses/responses"
import type { Answer, StreamAnswer, WholeAnswer } from "./attempt/Answer.ts"
import { interrupted, StreamBreak } from "./attempt/AnswerBody.ts"
import { pricesInUse } from "./attempt/AttemptCost.ts"
import type { OnOpen } from "./attempt/AttemptRecord.ts"
import { Deadlines } from "./attempt/Deadlines.ts"
import type { Batch } from "./attempt/SseReader.ts"
import { Balancer } from "./balancer/Balancer.ts"
import type { CallOptions } from "./balancer/CallOptions.ts"
import * as CheckReport from "./balancer/CheckReport.ts"
import { HealthMonitor } from "./balancer/HealthMonitor.ts"
import type * as Config from "./config/Config.ts"
import { decodeBeside, layerRules } from "./config/OptionIssues.ts"
import type { Prices } from "./config/Prices.ts"
import { Deployments } from "./deployment/Deployments.ts"
import * as Snapshot from "./deployment/Snapshot.ts"
import * as Errors from "./Errors.ts"
import type { Event } from "./Event.ts"
import { Fleet } from "./fleet/Fleet.ts"
import type { FleetStore } from "./fleet/FleetStore.ts"
import { answerOf, type HttpAnswer } from "./http/HttpAnswer.ts"
import { type HttpRequest, requestOf as httpRequestOf } from "./http/HttpRequest.ts"
import * as LlmRequest from "./request/LlmRequest.ts"
import { requestMeant, requestOf } from "./request/Parameters.ts"
import type { Explanation } from "./routing/Explanation.ts"
import { Selector } from "./routing/Selector.ts"
import { Telemetry } from "./telemetry/Telemetry.ts"
import { monotonicMillis } from "./Time.ts"
import { abortable } from "./transport/Abortable.ts"
import { Transport } from "./transport/Transport.ts"

/** Parameters of a chat completion: the official client's, without `stream`, which the method says. */
export type ChatParams = Omit<ChatCompletionCreateParams, "stream">

/** Parameters of a response: the official client's, without `stream`, which the method says. */
export type ResponsesParams = Omit<ResponseCreateParams, "stream">

/** Parameters of any request that names a model; the model alone stands for a small one. */
export type ExplainParams = { readonly model: string } & Readonly<Record<string, unknown>>

/**
 * Service that balances requests over deployments.
 */
export class LoadBalancer extends Context.Service<LoadBalancer, {
  /** A chat completion, whole. */
  readonly chat: (
    params: ChatParams,
    options?: CallOptions
  ) => Effect.Effect<ChatCompletion, Errors.LoadBalancerError>
  /** A chat completion as its chunks come. Usage comes as a last chunk when `stream_options.include_usage` asks for it. */
  readonly chatStream: (
    params: ChatParams,
    options?: CallOptions
  ) => Stream.Stream<ChatCompletionChunk, Errors.LoadBalancerError>
  /** A response, whole. */
  readonly responses: (
    params: ResponsesParams,
    options?: CallOptions
  ) => Effect.Effect<Response, Errors.LoadBalancerError>
  /** A response as its events come. */
  readonly responsesStream: (
    params: ResponsesParams,
    options?: CallOptions
  ) => Stream.Stream<ResponseStreamEvent, Errors.LoadBalancerError>
  /** Embeddings. */
  readonly embeddings: (
    params: EmbeddingCreateParams,
    options?: CallOptions
  ) => Effect.Effect<CreateEmbeddingResponse, Errors.LoadBalancerError>
  /** Any other endpoint, at the level of HTTP. */
  readonly request: (
    request: HttpRequest,
    options?: CallOptions
  ) => Effect.Effect<HttpAnswer, Errors.LoadBalancerError>
  /** A request as the doors build it: the way below all the others. A streamed answer must be closed by its taker. */
  readonly dispatch: (
    request: LlmRequest.LlmRequest,
    options?: CallOptions,
    onOpen?: OnOpen
  ) => Effect.Effect<Answer, Errors.LoadBalancerError>
  /**
   * Where a request with these parameters would go now, and why. Nothing is sent; a policy with a memory of its own, such
   * as round robin, takes it for a choice. To hear why real attempts went where they did, give a call the option
   * `explain`, or `Telemetry` an `explain`.
   */
  readonly explain: (
    params: ExplainParams,
    options?: CallOptions
  ) => Effect.Effect<Explanation, Errors.LoadBalancerError>
  /** The state of everything, as plain data. */
  readonly snapshot: Effect.Effect<Snapshot.Snapshot>
  /** Looks at every resource and deployment, now: what is wrong, and what to do about it. `String` of it is for people. */
  readonly check: (
    options?: CheckReport.CheckOptions
  ) => Effect.Effect<CheckReport.CheckReport, Errors.LoadBalancerError>
  /** What happens from now on. A reader that is slower than 1,024 events loses the oldest. */
  readonly events: Stream.Stream<Event>
}>()("@evenkeel/core/LoadBalancer") {
  /** Layer of the balancer over the layers of its concerns, each of them replaceable. */
  static readonly layerCore: Layer.Layer<
    LoadBalancer,
    never,
    Deployments | Selector | HealthMonitor | Telemetry | Transport
  > = Layer.effect(LoadBalancer, Effect.suspend(() => make))

  /**
   * Layer of a balancer with its defaults: needs only a `Transport`. The live set is given out too, to change it while
   * it runs.
   *
   * **Example** (Another policy)
   *
   * ```ts
   * LoadBalancer.layer(config, { selector: Selector.layer(Policy.leastLoaded) })
   * ```
   */
  static layer(
    config: Config.ConfigInput,
    replace: LayerOptions = {}
  ): Layer.Layer<LoadBalancer | Deployments, Errors.LoadBalancerError, Transport> {
    return Layer.unwrap(Effect.suspend(() => {
      const decoded = decodeBeside(config, replace, layerRules)
      if (Result.isSuccess(decoded) && decoded.success.fleet !== undefined && replace.fleet === undefined) {
        const message = "needs a store: use `layer` of @evenkeel/node, or give one as the option `fleet`"
        return Effect.fail(Errors.invalidConfig("the given object", [{ path: "fleet", message }]))
      }
      return Result.isFailure(decoded)
        ? Effect.fail(Errors.invalidConfig("the given object", decoded.failure))
        : Effect.succeed(LoadBalancer.layerDecoded(decoded.success, replace))
    }))
  }

  /** Layer of a balancer whose configuration was decoded before, for sources other than an object. */
  static layerDecoded(
    settings: Config.Config,
    replace: LayerOptions = {}
  ): Layer.Layer<LoadBalancer | Deployments, never, Transport> {
    return LoadBalancer.layerCore.pipe(
      Layer.provide(replace.healthMonitor ?? HealthMonitor.layer),
      Layer.provide(replace.selector ?? Selector.layerPowerOfTwoChoices(settings.quota.hot)),
      Layer.provide(replace.telemetry ?? Telemetry.layer()),
      Layer.provide(replace.prices ?? Layer.empty),
      Layer.provide(replace.fleet === undefined ? Layer.empty : Layer.provide(Fleet.layer, replace.fleet)),
      Layer.provideMerge(Deployments.layer(settings))
    )
  }
}

/** Layers that replace the defaults of `LoadBalancer.layer`. */
export interface LayerOptions {
  readonly selector?: Layer.Layer<Selector> | undefined
  readonly healthMonitor?: Layer.Layer<HealthMonitor, never, Deployments | Transport> | undefined
  readonly telemetry?: Layer.Layer<Telemetry> | undefined
  /** Prices that costs are reckoned by. Without any, costs are unknown. */
  readonly prices?: Layer.Layer<Prices> | undefined
  /** Where this process meets others that use the same deployments. Without one it is on its own; see docs/fleet.md. */
  readonly fleet?: Layer.Layer<FleetStore> | undefined
}

const EVENTS_HELD = 1024

const make: Effect.Effect<
  LoadBalancer["Service"],
  never,
  Deployments | Selector | HealthMonitor | Telemetry | Transport | Scope.Scope
> = Effect.gen(function*() {
  const deployments = yield* Deployments
  const selector = yield* Selector
  const telemetry = yield* Telemetry
  const transport = abortable(yield* Transport)
  yield* HealthMonitor
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const hub = deployments.events
  if (telemetry.observe !== undefined) {
    const { observe } = telemetry
    yield* Effect.acquireRelease(Effect.sync(() => hub.listen(observe)), (stop) => Effect.sync(stop))
  }
  // after telemetry, so that what ends with the balancer is told of
  const deadlines = yield* Deadlines.make(() => monotonicMillis(clock))
  const balancer = new Balancer({
    deployments,
    policy: selector.choose,
    transport,
    clock,
    random: () => random.nextDoubleUnsafe(),
    deadlines,
    explain: telemetry.explain,
    listening: telemetry,
    prices: yield* pricesInUse
  })
  const fleet = yield* Effect.serviceOption(Fleet)
  if (Option.isSome(fleet)) fleet.value.share(balancer.state.owners)
  const fleetStatus = Option.isSome(fleet) ? fleet.value.status : undefined
  yield* telemetry.attach?.({
    deployments,
    now: () => monotonicMillis(clock),
    sessions: () => balancer.state.affinity.size,
    retriesLeft: () => balancer.state.budget.left(monotonicMillis(clock)),
    fleet: fleetStatus
  }) ?? Effect.void

  const listening = new Set<Queue.Queue<Event, Cause.Done>>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      balancer.state.close()
      for (const queue of listening) Queue.endUnsafe(queue)
    })
  )

  const whole = <A>(
    operation: LlmRequest.Operation,
    path: string,
    params: object,
    options: CallOptions | undefined
  ): Effect.Effect<A, Errors.LoadBalancerError> =>
    Effect.suspend(() => {
      const request = requestOf(operation, path, params, false, options)
      if (request instanceof Errors.LoadBalancerError) return Effect.fail(request)
      return Effect.map(balancer.dispatch(request, options), (answer) => (answer as WholeAnswer).json as A)
    })

  const streamed = <A>(
    operation: LlmRequest.Operation,
    path: string,
    params: object,
    options: CallOptions | undefined
  ): Stream.Stream<A, Errors.LoadBalancerError> =>
    eventsOf<A>((onOpen) => {
      const request = requestOf(operation, path, params, true, options)
      return request instanceof Errors.LoadBalancerError
        ? Effect.fail(request)
        : balancer.dispatch(request, options, onOpen)
    })

  return LoadBalancer.of({
    chat: (params, options) => whole("chat", "/chat/completions", params, options),
    chatStream: (params, options) => streamed("chat", "/chat/completions", params, options),
    responses: (params, options) =>
      Effect.map(whole<Response>("responses", "/responses", params, options), withOutputText),
    responsesStream: (params, options) => streamed("responses", "/responses", params, options),
    embeddings: (params, options) => whole("embeddings", "/embeddings", params, options),
    request: (request, options) =>
      Effect.suspend(() => {
        const asked = httpRequestOf(request, options)
        return asked instanceof Errors.LoadBalancerError ? Effect.fail(asked) : answerLater(balancer, asked, options)
      }),
    explain: (params, options) =>
      Effect.suspend(() => {
        const request = requestMeant(params, options)
        const explained = request instanceof Errors.LoadBalancerError ? request : balancer.explain(request, options)
        return explained instanceof Errors.LoadBalancerError ? Effect.fail(explained) : Effect.succeed(explained)
      }),
    dispatch: (request, options, onOpen) => balancer.dispatch(request, options, onOpen),
    check: (options) => CheckReport.take(deployments, balancer.state.environment, options),
    snapshot: Effect.sync(() => {
      const now = monotonicMillis(clock)
      return Snapshot.take(
        deployments,
        now,
        balancer.state.affinity.size,
        balancer.state.budget.left(now),
        fleetStatus?.()
      )
    }),
    events: Stream.callback<Event>((queue) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          if (balancer.state.isClosed) Queue.endUnsafe(queue)
          listening.add(queue)
          return hub.listen((event: Event) => Queue.offerUnsafe(queue, event))
        }),
        (stop) =>
          Effect.sync(() => {
            listening.delete(queue)
            stop()
          })
      ), { bufferSize: EVENTS_HELD, strategy: "sliding" })
  })
})

/** All of a response's text in one, which the official client adds to what the service sends. */
const withOutputText = (response: Response): Response => {
  const messages = recordsOf(response.output).filter((item) => item["type"] === "message")
  const texts = messages.flatMap(({ content }) => recordsOf(content)).filter((part) => part["type"] === "output_text")
  return { ...response, output_text: texts.map(({ text }) => String(text)).join("") }
}

const recordsOf = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(value) ? value.filter(LlmRequest.isRecord) : []

/** An answer whose body is read later. It is given up if the fiber that asked fails or is interrupted before its end. */
const answerLater = (
  balancer: Balancer,
  request: LlmRequest.LlmRequest,
  options: CallOptions | undefined
): Effect.Effect<HttpAnswer, Errors.LoadBalancerError> =>
  Effect.withFiber((fiber) => {
    let forget: (() => void) | undefined
    const answered = balancer.dispatch(request, options, (stream) => {
      forget = fiber.addObserver((exit) => {
        if (Exit.isFailure(exit)) stream.close()
      })
    })
    return Effect.map(answered, (answer) => answerOf(answer, () => forget?.()))
  })

/** Opens a stream when it is run, and closes it when its reader stops, for whatever reason. */
const eventsOf = <A>(
  open: (onOpen: OnOpen) => Effect.Effect<Answer, Errors.LoadBalancerError>
): Stream.Stream<A, Errors.LoadBalancerError> =>
  Stream.fromChannel(Channel.fromTransform((_upstream: unknown, scope) => {
    // known before it is handed over, so that no interruption falls between
    let opened: { readonly close: () => void } | undefined
    const close = Effect.sync(() => opened?.close())
    const answered = Effect.suspend(() =>
      open((stream) => {
        opened = stream
      })
    )
    return Effect.flatMap(Scope.addFinalizer(scope, close), () => Effect.map(answered, valuesOf<A>))
  }))

const valuesOf = <A>(answer: Answer): Pull.Pull<Values<A>, Errors.LoadBalancerError> =>
  Effect.mapError(
    (answer as StreamAnswer).stream.pull(valuesIn<A>),
    (error) => error instanceof StreamBreak ? interrupted(error) : error
  )

const valuesIn = <A>({ events }: Batch): Values<A> | undefined => {
  const values: Array<A> = []
  for (const { json } of events) {
    if (json !== undefined) values.push(json as A)
  }
  return values.length === 0 ? undefined : values as unknown as Values<A>
}

type Values<A> = readonly [A, ...Array<A>]
