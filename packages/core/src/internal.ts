/**
 * What Evenkeel's own packages use of the core besides its public surface. It may change with any release.
 */
export type { Answer } from "./attempt/Answer.ts"
export { interrupted, StreamBreak } from "./attempt/AnswerBody.ts"
export { cureOf } from "./attempt/Cure.ts"
export { reasonWord } from "./attempt/ReasonWord.ts"
export type { Batch, StreamEvent } from "./attempt/SseReader.ts"
export { headersOf } from "./BalancedHttpClient.ts"
export type { FleetConfig } from "./config/Config.ts"
export { formatPath, looksSecret, type Path, type Reference, suggest } from "./config/ConfigErrors.ts"
export { collect, type Fields, listAt, type Report, uniqueNames } from "./config/ConfigRules.ts"
export * as ConfigValues from "./config/ConfigValues.ts"
export { decodeBy, type DecodeOptions } from "./config/Decode.ts"
export { isLoopback } from "./config/Endpoint.ts"
export { aLayer, decodeBeside, issuesOf, layerRules } from "./config/OptionIssues.ts"
export * as Yaml from "./config/Yaml.ts"
export { withoutSecrets } from "./deployment/Credential.ts"
export { Quota, type Reservation } from "./deployment/Quota.ts"
export { invalidConfig } from "./Errors.ts"
export type { EventHub } from "./EventHub.ts"
export * as ErrorResponse from "./http/ErrorResponse.ts"
export { bytesOf } from "./http/HttpAnswer.ts"
export { operationOf } from "./http/HttpRequest.ts"
export * as InboundBody from "./http/InboundBody.ts"
export * as InboundRequest from "./http/InboundRequest.ts"
export { type Linked, LinkedList } from "./LinkedList.ts"
export * as LlmRequest from "./request/LlmRequest.ts"
export { Meter } from "./telemetry/Meter.ts"
export {
  type Attribute,
  counted,
  gateway as gatewayInstruments,
  genAi,
  genAiNext,
  type Instrument,
  instruments,
  observed,
  overflow,
  prometheusLabel,
  prometheusName
} from "./telemetry/Names.ts"
export * as PrometheusPage from "./telemetry/PrometheusPage.ts"
export { monotonicMillis, WatchClock, watching } from "./Time.ts"
export {
  aborted,
  type Connection,
  isLocalTrouble,
  type TlsOptions,
  type TransportErrorKind
} from "./transport/Transport.ts"
