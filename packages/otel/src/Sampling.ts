/**
 * Sampling for tracers that keep everything they are given.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Tracer from "effect/Tracer"
import type { Sampler } from "./Environment.ts"

/**
 * The tracer in use, with a sampler before it: of traces that begin here it keeps a share; others are kept where their
 * parent is, unless the sampler does not ask for parents.
 */
export const layer = (sampler: Sampler): Layer.Layer<never> =>
  Layer.effect(
    Tracer.Tracer,
    Effect.gen(function*() {
      const tracer = yield* Tracer.Tracer
      const random = yield* Random.Random
      const isKept = (options: Parameters<Tracer.Tracer["span"]>[0]): boolean => {
        const parent = Option.getOrUndefined(options.parent)
        // what began in this process was decided on when it began
        if (parent !== undefined && (sampler.isParentBased || parent._tag === "Span")) return parent.sampled
        return random.nextDoubleUnsafe() < sampler.ratio
      }
      return {
        ...tracer,
        span: (options) => tracer.span({ ...options, sampled: options.sampled && isKept(options) })
      } satisfies Tracer.Tracer
    })
  )
