/**
 * Packages that only those install who need them.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Something that is asked for is not installed. */
export class MissingPackage extends Data.TaggedError("MissingPackage")<{
  readonly name: string
  /** What it is needed for. */
  readonly purpose: string
}> {
  override get message(): string {
    return `${this.name} is not installed, which ${this.purpose}. Install it, or use OtlpLive, which needs no package of OpenTelemetry.`
  }
}

/** Loads something of a package that may not be there. */
export const load = <M>(loading: () => Promise<M>, purpose: string): Effect.Effect<M, MissingPackage> =>
  Effect.callback((resume) => {
    loading().then(
      (loaded) => resume(Effect.succeed(loaded)),
      (error: NodeJS.ErrnoException) => {
        const name = /Cannot find (?:package|module) '([^']+)'/.exec(error.message)?.[1]
        const isMissing = error.code === "ERR_MODULE_NOT_FOUND" && name !== undefined
        resume(isMissing ? Effect.fail(new MissingPackage({ name, purpose })) : Effect.die(error))
      }
    )
  })
