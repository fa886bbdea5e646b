/**
 * The configuration that a command is given: a file by `--config`, else what the environment says.
 */
import { type Config, decodeConfig } from "@evenkeel/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigSource from "../ConfigSource.ts"

/** Reads it. Fails with every mistake. */
export const readConfig = (file: Option.Option<string>): Effect.Effect<Config, ConfigSource.ConfigSourceError> =>
  Effect.suspend(() =>
    Effect.fromResult(
      Option.isSome(file)
        ? ConfigSource.readFile(file.value, process.env, decodeConfig)
        : ConfigSource.read(process.env)
    )
  )
