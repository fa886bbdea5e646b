import type { Simulator, SimulatorOptions } from "./SimulatorServer.ts"

/**
 * Starts a simulator. It is loaded only here, as it is no part of a program in production.
 */
export const startSimulator = async (options: SimulatorOptions): Promise<Simulator> => {
  const server = await import("./SimulatorServer.ts")
  return server.startSimulator(options)
}
