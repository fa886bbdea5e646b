/**
 * Evenkeel for Node: undici below, Entra ID, configuration from a file or the environment, and the promise facade.
 */
// what a program of promises has to name, so that it depends on no other package
export {
  type CallOptions,
  type CheckReport,
  type ConfigInput,
  type Event,
  type Explanation,
  LoadBalancerError,
  type Snapshot
} from "@evenkeel/core"
export { ConfigSourceError, load as loadConfig, loadFrom as loadConfigFrom } from "./ConfigSource.ts"
export {
  createLoadBalancer,
  createLoadBalancerFromEnvironment,
  type LoadBalancerClient,
  type LoadBalancerClientOptions
} from "./createLoadBalancer.ts"
export * as EntraId from "./EntraId.ts"
export { layer, layerFromEnvironment, LoadBalancerLive } from "./LoadBalancerLive.ts"
export * as RedisFleetStore from "./RedisFleetStore.ts"
export { type Simulator } from "./simulator/SimulatorServer.ts"
export { startSimulator } from "./simulator/startSimulator.ts"
export * as UndiciTransport from "./UndiciTransport.ts"
export { type BalancerWarning } from "./Warnings.ts"
