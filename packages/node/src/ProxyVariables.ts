/**
 * The proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, or the same in small letters, which
 * win. What they mean is what undici's `EnvHttpProxyAgent` makes of them.
 *
 * They count whether or not `NODE_USE_ENV_PROXY` is set, as in curl and most programs, but for `NODE_USE_ENV_PROXY=0`,
 * which is a plain no.
 */

/** Proxies by the scheme of what is asked, and the hosts that are asked without one. */
export interface ProxyVariables {
  /** Empty for none. */
  readonly http: string
  /** Empty for that of `http`. */
  readonly https: string
  readonly none: string
}

/**
 * Reads the variables. Nothing where they name no proxy.
 *
 * @throws TypeError when one is not the URL of a proxy; its content, which may hold a password, is not shown
 */
export const read = (environment: Readonly<Record<string, string | undefined>>): ProxyVariables | undefined => {
  if (environment["NODE_USE_ENV_PROXY"] === "0") return undefined
  const http = proxyOf(environment, "HTTP_PROXY")
  const https = proxyOf(environment, "HTTPS_PROXY")
  const none = environment["no_proxy"] ?? environment["NO_PROXY"] ?? ""
  return http === "" && https === "" ? undefined : { http, https, none }
}

const proxyOf = (environment: Readonly<Record<string, string | undefined>>, name: string): string => {
  const text = (environment[name.toLowerCase()] ?? environment[name] ?? "").trim()
  if (text === "") return ""
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (URL.canParse(url) && /^https?:\/\//i.test(url)) return url
  throw new TypeError(
    `The variable ${name} is not the URL of a proxy: give one such as http://proxy.example:3128, or unset it`
  )
}
