/**
 * Evenkeel: a client-side load balancer for Azure OpenAI and OpenAI.
 */
export * as BalancedHttpClient from "./BalancedHttpClient.ts"
export { type CheckOptions, CheckReport, type CheckResult } from "./CheckReport.ts"
export {
  type Config,
  type ConfigInput,
  decode as decodeConfig,
  defaults,
  type DeploymentInput,
  type DurationInput,
  type ResourceInput
} from "./Config.ts"
export { EntraTokens, type TokenProvider } from "./deployment/Credential.ts"
export { type DeploymentChange, Deployments, type Observation } from "./deployment/Deployments.ts"
export { type AttemptRole, type Event, type SessionMoveReason, type SessionPlacement } from "./Event.ts"
export type * as Events from "./Event.ts"
export { type Setback } from "./failover/Failover.ts"
export { HealthMonitor } from "./HealthMonitor.ts"
export * as HttpClientTransport from "./HttpClientTransport.ts"
export { type HttpAnswer, type HttpRequest } from "./HttpDoor.ts"
export {
  type ChatParams,
  type ExplainParams,
  type LayerOptions,
  LoadBalancer,
  type ResponsesParams
} from "./LoadBalancer.ts"
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
} from "./LoadBalancerError.ts"
export {
  costOf,
  type PriceList,
  type PriceQuery,
  Prices,
  type ServicePrices,
  type TokenPrices
} from "./pricing/Prices.ts"
export { type CallOptions } from "./request/LlmRequest.ts"
export { replay } from "./routing/Explain.ts"
export { type Because, type ExplainedDeployment, type Explanation } from "./routing/Explanation.ts"
export * as Policy from "./routing/Policy.ts"
export { Selector } from "./routing/Selector.ts"
export { type DeploymentSnapshot, type ModelSnapshot, type ResourceSnapshot, type Snapshot } from "./Snapshot.ts"
export { Telemetry, TelemetryDefaults, type TelemetryOptions } from "./telemetry/Telemetry.ts"
export { Transport, TransportError, type TransportRequest, type TransportResponse } from "./Transport.ts"
