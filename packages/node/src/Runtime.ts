/**
 * What runs this package. Asked before undici is loaded, which breaks on an old Node in words of its own.
 */

/** Node, or a runtime with its own network below its `fetch` in place of undici. */
export type Runtime = "node" | "bun" | "deno"

const LEAST = [22, 19]

/**
 * The runtime of these versions, as `process.versions` has them.
 *
 * @throws TypeError on a Node that is too old
 */
export const detect = (versions: Readonly<Record<string, string | undefined>>): Runtime => {
  if (versions["bun"] !== undefined) return "bun"
  if (versions["deno"] !== undefined) return "deno"
  const [major = 0, minor = 0] = (versions["node"] ?? "").split(".").map(Number)
  if (major > LEAST[0]! || (major === LEAST[0] && minor >= LEAST[1]!)) return "node"
  throw new TypeError(
    `@evenkeel/node needs Node.js ${LEAST.join(".")} or later, and this is ${versions["node"]}; update Node.js, or use `
      + "@evenkeel/core with HttpClientTransport"
  )
}

/** The runtime of this process. */
export const current: Runtime = detect(process.versions)
