/**
 * What fails beside a request, such as telemetry, must not fail it.
 */

/** What this gives, or nothing where it throws. */
export const ignoreThrows = <A>(tell: () => A): A | undefined => {
  try {
    return tell()
  } catch {
    return undefined
  }
}
