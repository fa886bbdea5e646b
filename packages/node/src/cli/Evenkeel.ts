/**
 * The command `evenkeel`: a thin shell over the library, with no logic of its own.
 */
import * as Command from "effect/cli/Command"
import { key } from "./Key.ts"
import { serve } from "./Serve.ts"
import { top } from "./Top.ts"

/** All of it. */
export const evenkeel = Command.make("evenkeel").pipe(
  Command.withDescription("Spreads requests to Azure OpenAI and OpenAI over many deployments"),
  Command.withSubcommands([serve, top, key])
)
