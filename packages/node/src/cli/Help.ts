/**
 * How help looks: a command on one screen. What every command takes is told by the help of `evenkeel` alone.
 */
import * as CliOutput from "effect/cli/CliOutput"
import type { FlagDoc } from "effect/cli/HelpDoc"
import type * as Layer from "effect/Layer"

const usual = CliOutput.defaultFormatter({ globalFlags: "summary" })

/** Choices stand in the description too; beside the name they would make a column of 70. */
const narrow = (flag: FlagDoc): FlagDoc => flag.type.startsWith("<") ? { ...flag, type: "choice" } : flag

/** Layer of it. */
export const layer: Layer.Layer<never> = CliOutput.layer({
  ...usual,
  formatHelpDoc: ({ globalFlags = [], ...doc }) =>
    usual.formatHelpDoc({ ...doc, globalFlags: globalFlags.map((flag) => narrow(flag)) })
})
