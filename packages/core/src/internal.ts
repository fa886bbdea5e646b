/**
 * What Evenkeel's own packages use of the core besides its public surface. It may change with any release.
 */
export type { Answer } from "./attempt/Answer.ts"
export { interrupted, StreamBreak } from "./attempt/GivenStream.ts"
export { headersOf } from "./BalancedHttpClient.ts"
export { type Reference } from "./Config.ts"
export { formatPath, looksSecret, type Path } from "./config/ConfigIssues.ts"
export { isLoopback } from "./config/Endpoint.ts"
export { aLayer, decodeBeside, issuesOf, layerRules } from "./config/OptionIssues.ts"
export type { Answered } from "./Dispatcher.ts"
export * as ErrorAnswer from "./ErrorAnswer.ts"
export type { EventHub } from "./Event.ts"
export * as ForeignBody from "./ForeignBody.ts"
export * as ForeignRequest from "./ForeignRequest.ts"
export { bytesOf, operationOf } from "./HttpDoor.ts"
export { invalidConfig } from "./LoadBalancerError.ts"
export * as LlmRequest from "./request/LlmRequest.ts"
export { cureOf } from "./telemetry/Cure.ts"
export {
  type Attribute,
  counted,
  genAi,
  genAiNext,
  type Instrument,
  instruments,
  observed,
  overflow,
  prometheusLabel,
  prometheusName
} from "./telemetry/Names.ts"
export { reasonWord } from "./telemetry/ReasonWord.ts"
export { WatchClock } from "./Time.ts"
export { type Connection, isLocalTrouble, type TlsOptions, type TransportErrorKind } from "./Transport.ts"
