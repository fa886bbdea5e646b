/**
 * The simulated service: Azure OpenAI, OpenAI and their like, in memory, under virtual time.
 */
export * as SeededRandom from "./SeededRandom.ts"
export type { SimulatedAnswer } from "./SimulatedAnswer.ts"
export { ErrorName, SimulatedFault } from "./SimulatedFault.ts"
export * as SimulatedHttpClient from "./SimulatedHttpClient.ts"
export * as SimulatedPool from "./SimulatedPool.ts"
export * as SimulatedService from "./SimulatedService.ts"
export * as SimulatedTransport from "./SimulatedTransport.ts"
