/**
 * What parsed JSON may be.
 */

/** An object, and no list. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The same as a value, if it is one. */
export const recordOf = (value: unknown): Record<string, unknown> | undefined => isRecord(value) ? value : undefined

/** A text that is not empty. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined
