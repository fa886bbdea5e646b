// oxlint-disable no-await-in-loop -- the heap is read between two blocks
/**
 * What calls leave behind: the heap after each block of calls, every block with sessions that were not seen before.
 */
import * as Effect from "effect/Effect"
import { question } from "./Canned.ts"
import { effectDoor, fibers } from "./Doors.ts"
import { collectGarbage, figureOf } from "./Measure.ts"
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
  const door = await effectDoor({ endpoint: "https://stubbed.invalid", telemetry: false, transport: atOnce })
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
  const perCall = heaps.slice(1).map((heap, i) => (heap - heaps[i]!) / callsPerBlock)
  const all = (heaps.at(-1)! - heaps[0]!) / 1e3
  return {
    title:
      `The heap over ${blocks} blocks of ${callsPerBlock} calls and ${sessionsPerBlock} new sessions each, of which ${sessions} are remembered`,
    rows: [
      // a heap of some 40 MB moves by itself by more than a tenth of this
      {
        what: "growth in all, after a first block",
        unit: "KB",
        goal: 500,
        figure: { median: all, min: all, max: all }
      },
      { what: "growth per call", unit: "B", figure: figureOf(perCall) },
      { what: "heap", unit: "MB", figure: figureOf(heaps.map((heap) => heap / 1e6)) }
    ]
  }
}
