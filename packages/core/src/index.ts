/**
 * Evenkeel: a client-side load balancer for Azure OpenAI and OpenAI.
 */
export * as BalancedHttpClient from "./BalancedHttpClient.ts"
export { type CallOptions } from "./balancer/CallOptions.ts"
export { type CheckOptions, CheckReport, type CheckResult } from "./balancer/CheckReport.ts"
export { HealthMonitor } from "./balancer/HealthMonitor.ts"
export { type RetryContext } from "./balancer/RetrySchedule.ts"
export {
  type Config,
  type ConfigInput,
  decode as decodeConfig,
  defaults,
  type DeploymentInput,
  type DurationInput,
  type GatewayConfig,
  type ResourceInput
} from "./config/Config.ts"
export {
  costOf,
  type PriceList,
  type PriceQuery,
  Prices,
  type ServicePrices,
  type TokenPrices
} from "./config/Prices.ts"
export { EntraTokens, type TokenProvider } from "./deployment/Credential.ts"
export { type DeploymentChange, Deployments, type Observation } from "./deployment/Deployments.ts"
export {
  type DeploymentSnapshot,
  type FleetShare,
  type FleetSnapshot,
  type ModelSnapshot,
  type ResourceSnapshot,
  type Snapshot
} from "./deployment/Snapshot.ts"
export {
  type AttemptSummary,
  type ConfigIssue,
  ContentFiltered,
  type Delivered,
  InvalidConfig,
  type LimitedBy,
  LoadBalancerError,
  type LoadBalancerErrorReason,
  Rejected,
  StreamInterrupted,
  Throttled,
  TimedOut,
  type TimeoutStage,
  Unavailable,
  UnknownModel,
  type Usage
} from "./Errors.ts"
export { type AttemptRole, type Event, type SessionMoveReason, type SessionPlacement } from "./Event.ts"
export type * as Events from "./Event.ts"
export { Fleet } from "./fleet/Fleet.ts"
export { FleetError, FleetStore, type Heard as FleetHeard, type Said as FleetSaid } from "./fleet/FleetStore.ts"
export { MemoryFleetStore } from "./fleet/MemoryFleetStore.ts"
export type { HttpAnswer } from "./http/HttpAnswer.ts"
export type { HttpRequest } from "./http/HttpRequest.ts"
export {
  type ChatParams,
  type ExplainParams,
  type LayerOptions,
  LoadBalancer,
  type ResponsesParams
} from "./LoadBalancer.ts"
export { replay } from "./routing/Explain.ts"
export { type Because, type ExplainedDeployment, type Explanation } from "./routing/Explanation.ts"
export * as Policy from "./routing/Policy.ts"
export { Selector } from "./routing/Selector.ts"
export { Telemetry, TelemetryDefaults, type TelemetryOptions } from "./telemetry/Telemetry.ts"
export * as HttpClientTransport from "./transport/HttpClientTransport.ts"
export { Transport, TransportError, type TransportRequest, type TransportResponse } from "./transport/Transport.ts"
