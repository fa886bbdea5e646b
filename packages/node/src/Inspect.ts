/**
 * How an object of ours prints in Node, where what it inherits would look for the platform's private fields.
 */
import type { InspectOptions } from "node:util"

export const inspectKey = Symbol.for("nodejs.util.inspect.custom")

export type Inspect = (value: unknown, options: InspectOptions) => string
