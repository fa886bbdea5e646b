/**
 * Flags that several commands take.
 */
import * as Flag from "effect/cli/Flag"

/** `--config`. */
export const config = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withMetavar("file"),
  Flag.withDescription(
    "YAML or JSON file of the configuration (default: EVENKEEL_CONFIG, else the variables of Azure OpenAI, else OPENAI_API_KEY)"
  ),
  Flag.optional
)

/** `--json`. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON, for programs"),
  Flag.withDefault(false)
)

/** A number above 0. */
export const aboveZero = (name: string): Flag.Flag<number> =>
  Flag.Finite(name).pipe(
    Flag.withMetavar("number"),
    Flag.filter((value) => value > 0, () => "a number above 0")
  )

/** `--port`. */
export const port = Flag.Int("port").pipe(
  Flag.withAlias("p"),
  Flag.withMetavar("number"),
  Flag.filter(
    (port) => port >= 0 && port <= 65_535,
    () => "a number from 0 to 65535"
  )
)
