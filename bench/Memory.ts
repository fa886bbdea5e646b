// oxlint-disable no-await-in-loop -- the heap is read between two blocks
/**
 * What calls leave behind: the heap after each block of calls, every block with sessions that were not seen before.
 */
import * as Effect from "effect/Effect"
import { question } from "./Canned.ts"
import { effectDoor, fibers } from "./Doors.ts"
import { collectGarbage } from "./Measure.ts"
import type { Section } from "./Report.ts"
import { atOnce } from "./Stubbed.ts"

export interface MemorySizes {
  readonly blocks: number
  readonly callsPerBlock: number
  /** New sessions in each block; the balancer remembers 10,000. */
  readonly sessionsPerBlock: number
}

const heapUsed = (): number => {
  // weak references and finalizers are settled by the second
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}

export const memory = async ({ blocks, callsPerBlock, sessionsPerBlock }: MemorySizes): Promise<Section> => {
  const door = effectDoor({ endpoint: "https://stubbed.invalid", telemetry: false, transport: atOnce })
  const asked = question("whole")
  let calls = 0
  const call = Effect.suspend(() => {
    const block = Math.floor(calls / callsPerBlock)
    return door.lb.chat(asked, { session: `user-${block}-${calls++ % sessionsPerBlock}` })
  })
  const block = fibers(64, call)
  // the first block fills what is bounded
  await block(callsPerBlock)
  const heaps = [heapUsed()]
  for (let i = 0; i < blocks; i++) {
    await block(callsPerBlock)
    heaps.push(heapUsed())
  }
  const { sessions } = Effect.runSync(door.lb.snapshot)
  await door.close()
  const growths = heaps.slice(1).map((heap, i) => (heap - heaps[i]!) / callsPerBlock)
  const median = (heaps.at(-1)! - heaps[0]!) / (blocks * callsPerBlock)
  return {
    title:
      `The heap over ${blocks} blocks of ${callsPerBlock} calls and ${sessionsPerBlock} new sessions each (${sessions} remembered)`,
    rows: [
      // half a byte a call is half a megabyte over a million: below what the heap's size moves by itself
      {
        what: "growth per call, from the first block's end on",
        unit: "B",
        goal: 0.5,
        figure: { median, min: Math.min(...growths), max: Math.max(...growths) }
      },
      { what: "heap in MB at the end", unit: "MB", figure: figureOfMegabytes(heaps) }
    ]
  }
}

const figureOfMegabytes = (heaps: ReadonlyArray<number>) => {
  const megabytes = heaps.map((heap) => heap / 1e6)
  return { median: megabytes.at(-1)!, min: Math.min(...megabytes), max: Math.max(...megabytes) }
}
