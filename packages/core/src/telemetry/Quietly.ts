/**
 * Telemetry that fails must not fail a request.
 */

/** What this gives, or nothing where it throws. */
export const quietly = <A>(tell: () => A): A | undefined => {
  try {
    return tell()
  } catch {
    return undefined
  }
}
