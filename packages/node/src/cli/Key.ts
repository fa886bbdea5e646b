/**
 * `evenkeel key`: makes a key of the gateway's own, or the hash of one.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { createHash, randomBytes } from "node:crypto"

/** Bytes of a key, which nobody guesses. */
const LENGTH = 32

/** Makes a key. */
export const run = ({ json }: { readonly json: boolean }): Effect.Effect<void> =>
  Effect.suspend(() => {
    const made = `ek-${randomBytes(LENGTH).toString("base64url")}`
    const sha256 = createHash("sha256").update(made).digest("hex")
    return Console.log(
      json ? JSON.stringify({ key: made, sha256 }) : [
        `key:    ${made}    for its holder, as the API key; it is shown this once`,
        `sha256: ${sha256}`,
        "",
        "gateway:",
        "  keys:",
        "    - name: …",
        `      sha256: ${sha256}`
      ].join("\n")
    )
  })
