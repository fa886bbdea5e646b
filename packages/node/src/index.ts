/**
 * Evenkeel for Node: undici below, Entra ID, configuration from a file or the environment, and the promise facade.
 */
export { createLoadBalancer, type LoadBalancerClient, type LoadBalancerClientOptions } from "./createLoadBalancer.ts"
export * as EntraId from "./EntraId.ts"
export * as UndiciTransport from "./UndiciTransport.ts"
