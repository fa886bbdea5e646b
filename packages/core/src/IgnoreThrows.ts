/**
 * Telemetry that fails must not fail a request.
 */

/** What this gives, or nothing where it throws. */
export const ignoreThrows = <A>(tell: () => A): A | undefined => {
  try {
    return tell()
  } catch {
    return undefined
  }
}
