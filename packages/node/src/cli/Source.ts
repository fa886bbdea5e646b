/**
 * The configuration that a command is given: a file by `--config`, else what the environment says.
 */
import type { Config } from "@evenkeel/core"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigSource from "../ConfigSource.ts"

/** `--config`. */
export const configFlag = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withMetavar("file"),
  Flag.withDescription(
    "YAML or JSON file of the configuration (default: EVENKEEL_CONFIG, else the variables of Azure OpenAI, else OPENAI_API_KEY)"
  ),
  Flag.optional
)

/** `--json`. */
export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON, for programs"),
  Flag.withDefault(false)
)

/** The variables with the file in the place of `EVENKEEL_CONFIG`. */
export const environmentOf = (file: Option.Option<string>): ConfigSource.Environment =>
  Option.isSome(file) ? { ...process.env, EVENKEEL_CONFIG: file.value } : process.env

/** Reads it. Fails with every mistake. */
export const readConfig = (file: Option.Option<string>): Effect.Effect<Config, ConfigSource.ConfigSourceError> =>
  ConfigSource.loadFrom(environmentOf(file))

/** Tells what went wrong in its own words, and nothing of where in the code. */
export const plainly = <A, E extends Error, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, CliError.UserError, R> =>
  Effect.mapError(effect, (error) => new CliError.UserError({ cause: error, userMessage: error.message }))
