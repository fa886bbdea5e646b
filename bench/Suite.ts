/**
 * One suite in a process of its own, so that none runs on code that another's calls have shaped: started by `main.ts`
 * with its name, answers with its section.
 */
import { wholeAnswers } from "./Calls.ts"
import { startChild } from "./Child.ts"
import { choices } from "./Choice.ts"
import { gateway } from "./Gateway.ts"
import { memory } from "./Memory.ts"
import { peers } from "./Peers.ts"
import type { Section } from "./Report.ts"
import { firstTokens, streams } from "./Streams.ts"
import { stubbed } from "./Stubbed.ts"
import { telemetry } from "./Telemetry.ts"

const [name, isQuick] = [process.argv[2]!, process.argv[3] === "quick"]

/** Sizes of the quick run and of the full one. */
const size = <A>(quick: A, full: A): A => isQuick ? quick : full

/** Runs something against the bench server, which is a process of its own. */
const served = async (run: (endpoint: string) => Promise<Section>): Promise<Section> => {
  const { child, first: port } = await startChild<number>("./Server.ts", [])
  const section = await run(`http://127.0.0.1:${port}`)
  child.disconnect()
  return section
}

const stubbedSizes = size(
  { begins: 1, rounds: 3, calls: 1500, warmup: 4000 },
  { begins: 3, rounds: 5, calls: 6000, warmup: 25_000 }
)

const suites: Readonly<Record<string, () => Promise<Section> | Section>> = {
  calls: () => {
    const sizes = size(
      { begins: 1, rounds: 3, calls: 512, warmup: 4096 },
      { begins: 3, rounds: 5, calls: 1024, warmup: 20_000 }
    )
    return served((endpoint) => wholeAnswers(endpoint, "small", sizes))
  },
  long: () => {
    const sizes = size(
      { begins: 1, rounds: 3, calls: 64, warmup: 128 },
      { begins: 3, rounds: 3, calls: 512, warmup: 2048 }
    )
    return served((endpoint) => wholeAnswers(endpoint, "long", sizes))
  },
  paced: () => {
    const sizes = size(
      { begins: 1, rounds: 3, calls: 64, warmup: 256 },
      { begins: 3, rounds: 3, calls: 192, warmup: 1536 }
    )
    return served((endpoint) => streams(endpoint, "paced", sizes))
  },
  burst: () => {
    const sizes = size(
      { begins: 1, rounds: 3, calls: 64, warmup: 512 },
      { begins: 3, rounds: 3, calls: 512, warmup: 2048 }
    )
    return served((endpoint) => streams(endpoint, "burst", sizes))
  },
  first: () => {
    const sizes = size({ rounds: 3, samples: 50, warmup: 50 }, { rounds: 9, samples: 250, warmup: 500 })
    return served((endpoint) => firstTokens(endpoint, sizes))
  },
  telemetry: () => {
    const sizes = size(
      { begins: 2, rounds: 3, calls: 1024, warmup: 4096 },
      // where one trace in ten is kept, what keeps it is warm after ten times as many calls
      { begins: 3, rounds: 5, calls: 4096, warmup: 150_000 }
    )
    return served((endpoint) => telemetry(endpoint, "whole", sizes))
  },
  telemetryStreams: () => {
    const sizes = size(
      { begins: 2, rounds: 3, calls: 64, warmup: 192 },
      { begins: 7, rounds: 3, calls: 256, warmup: 768 }
    )
    return served((endpoint) => telemetry(endpoint, "burst", sizes))
  },
  gateway: () => {
    const sizes = size(
      { begins: 2, rounds: 3, calls: 2000, warmup: 4000, width: 512, streams: 2 },
      { begins: 7, rounds: 3, calls: 6000, warmup: 15_000, width: 512, streams: 4 }
    )
    return served((endpoint) => gateway(endpoint, sizes))
  },
  peers: () => {
    const sizes = size({ rounds: 3, calls: 4000, warmup: 8000 }, { rounds: 11, calls: 8000, warmup: 16_000 })
    return served((endpoint) => peers(endpoint, sizes))
  },
  stubbed1: () => stubbed("1", stubbedSizes),
  stubbed64: () => stubbed("64", stubbedSizes),
  choice: () => choices(size({ choices: 20_000, batches: 5 }, { choices: 50_000, batches: 15 })),
  memory: () =>
    memory(
      size(
        { blocks: 2, callsPerBlock: 20_000, sessionsPerBlock: 10_000 },
        { blocks: 10, callsPerBlock: 100_000, sessionsPerBlock: 20_000 }
      )
    )
}

process.send!(await suites[name]!())
process.disconnect()
