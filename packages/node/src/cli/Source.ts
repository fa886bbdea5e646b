/**
 * The configuration that a command is given: a file by `--config`, else what the environment says.
 */
import { type Config, decodeConfig } from "@evenkeel/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { existsSync } from "node:fs"
import * as ConfigSource from "../ConfigSource.ts"

/** What `evenkeel init` writes. */
const USUAL = "evenkeel.yaml"

/** A file that is here, and that nobody named. */
const withHint = (error: ConfigSource.ConfigSourceError): ConfigSource.ConfigSourceError => {
  if (error.source !== "the environment" || !existsSync(USUAL)) return error
  const hint = { path: "", message: `${USUAL} is here, and is read where it is named: --config ${USUAL}` }
  return new ConfigSource.ConfigSourceError({ source: error.source, issues: [hint, ...error.issues] })
}

/** Reads it. Fails with every mistake. */
export const readConfig = (file: Option.Option<string>): Effect.Effect<Config, ConfigSource.ConfigSourceError> =>
  Effect.suspend(() =>
    Effect.fromResult(
      Option.isSome(file)
        ? ConfigSource.readFile(file.value, process.env, decodeConfig)
        : Result.mapError(ConfigSource.read(process.env), withHint)
    )
  )
