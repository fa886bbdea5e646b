/**
 * By what names the members of a fleet know what they share: by what it is, and not by what a configuration calls it.
 */
import type { Deployment } from "../deployment/Deployment.ts"
import type { Resource } from "../deployment/Resource.ts"

/**
 * Key of a resource: its address in lower case, without `https://`. All of OpenAI's projects have one address, as have the
 * accounts of a compatible service, so there the configured name tells them apart.
 */
export const resourceKey = ({ address, name, provider }: Resource): string =>
  provider === "azure" ? address : `${address}#${name}`

/** Key of a deployment: that of its resource, and its name there. */
export const deploymentKey = (deployment: Deployment): string =>
  `${resourceKey(deployment.resource)}/${deployment.name.toLowerCase()}`

/** Key of the pool that a deployment was configured for, whose name is all that its members have in common. */
export const poolKey = ({ pool }: Deployment): string | undefined =>
  pool === undefined || pool.isFound ? undefined : `pool ${pool.name}`

/** Key of the quota that a deployment draws on. Of a pool that was found it is the first of its members' own. */
export const quotaKey = (deployment: Deployment): string => {
  const { pool } = deployment
  if (pool?.isFound !== true) return poolKey(deployment) ?? deploymentKey(deployment)
  return [...pool.members].map(deploymentKey).toSorted()[0] ?? deploymentKey(deployment)
}

/**
 * Hash of the id of a stored thing, in 16 hexadecimal digits: FNV-1a of 64 bits over its UTF-16 code units, low byte first.
 */
export const hashId = (id: string): string => {
  let high = 0xcbf29ce4
  let low = 0x84222325
  const step = (byte: number): void => {
    low = (low ^ byte) >>> 0
    // times 2^40 + 0x1b3, modulo 2^64
    const product = low * 0x1b3
    high = (high * 0x1b3 + Math.floor(product / 0x1_0000_0000) + low * 0x100) % 0x1_0000_0000
    low = product % 0x1_0000_0000
  }
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    step(unit & 0xff)
    step(unit >>> 8)
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0")
}
