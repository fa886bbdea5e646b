/**
 * What to do about a failure, in words for whoever configured the balancer.
 */
import { reasonWord } from "./ReasonWord.ts"
import { spendingCodes } from "./ServiceError.ts"

/** Why a 200 with something else in it is no answer. */
export const EMPTY = "an answer that holds nothing"

/**
 * The cure of what a breaker, a check or an attempt gives as its reason, such as `http 401 invalid_api_key` or `dns`.
 */
export const cureOf = (reason: string): string => {
  const code = reason.split(" ")[2]?.toLowerCase() ?? ""
  if (spendingCodes.has(code)) return "Its account cannot pay: check its plan, its limits and its balance."
  if (missing.test(reason)) {
    return "Check the deployment's `name` in the configuration, and that it exists on this resource."
  }
  if (reason.includes("the proxy answered 407")) {
    return "The proxy wants to know who asks: put name and password into `proxy`, or into the variable that names it."
  }
  if (noTls.test(reason)) {
    return "What answers there speaks no TLS: check the port of `endpoint`, and whether it begins with `http://`."
  }
  if (code === "content_filter") {
    return "Its content filter refuses what its peers answer: compare the filter that is set for it with theirs."
  }
  if (reason === EMPTY) {
    return "It says 200, and nothing of what was asked for: check `endpoint`, and what answers in its place on the way."
  }
  return cures[reasonWord(reason)]
    ?? "The service itself fails: see its status page; traffic returns by itself when it answers."
}

const noTls = /ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)/

const missing = /missing|deploymentnotfound|model_not_found/i

const cures: Readonly<Record<string, string | undefined>> = Object.assign(Object.create(null), {
  401: "Its key or token is refused: check `apiKey`, or `auth` and its role, and that they are of this `endpoint`.",
  403: "Access is denied: check its network rules and firewall, and the rights of its key or role.",
  404: "It knows no such path: check `endpoint` and `apiVersion`.",
  400: "It refuses what its peers answer: check `apiVersion`, the deployment's `model`, and which parameters it knows.",
  405: "It refuses what its peers answer: check `endpoint` and `apiVersion`.",
  slow: "It is slower than its peers by far: see its status page, and the network on the way.",
  credential: "No token could be had for it: check `auth`, the sign-in of this process and its role.",
  dns: "Its name cannot be resolved: check `endpoint`, and the network of this process.",
  connect: "It cannot be reached: check `endpoint`, and firewalls and proxies on the way.",
  timeout: "It did not answer in time: check `endpoint`, and firewalls and proxies on the way.",
  timeout_connect: "It cannot be reached in time: check `endpoint`, and firewalls and proxies on the way.",
  tls: "Its certificate is not accepted: check `endpoint`, and whether a proxy puts in one of its own."
})
