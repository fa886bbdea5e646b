/**
 * Kinds of flags, and those that several commands take.
 */
import * as Flag from "effect/cli/Flag"
import type * as Option from "effect/Option"

/**
 * A text.
 *
 * @param metavar what stands for it in the help
 */
export const text = (name: string, metavar: string, description: string): Flag.Flag<string> =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description))

/** Something that is off unless it is given. */
export const isOn = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** A number above 0, or none. */
export const aboveZero = (name: string, description: string): Flag.Flag<Option.Option<number>> =>
  Flag.Finite(name).pipe(
    Flag.withMetavar("number"),
    Flag.filter((value) => value > 0, () => "a number above 0"),
    Flag.withDescription(description),
    Flag.optional
  )

/** A whole number, or none. */
export const int = (name: string, least: number, most: number, description: string): Flag.Flag<Option.Option<number>> =>
  Flag.Int(name).pipe(
    Flag.withMetavar("number"),
    Flag.withDescription(description),
    Flag.filter((value) => value >= least && value <= most, () => `a number from ${least} to ${most}`),
    Flag.optional
  )

/** `--port`. */
export const port = (description: string): Flag.Flag<Option.Option<number>> =>
  Flag.withAlias(int("port", 0, 65_535, description), "p")

/** `--config`. */
export const config: Flag.Flag<Option.Option<string>> = text(
  "config",
  "file",
  "YAML or JSON file of the configuration (default: EVENKEEL_CONFIG, else the variables of Azure OpenAI, else OPENAI_API_KEY)"
).pipe(Flag.withAlias("c"), Flag.optional)

/** `--json`. */
export const json: Flag.Flag<boolean> = isOn("json", "Print JSON, for programs")
