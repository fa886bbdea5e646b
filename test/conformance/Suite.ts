/**
 * Runs cases: each once by the bare client and once through each door.
 */
import type { Case } from "./Case.ts"
import { differ, type Found } from "./Compare.ts"
import { bare, type Door, doors, open, type Opened } from "./Doors.ts"
import * as Seen from "./Seen.ts"
import { listen } from "./Server.ts"

/** What the bare client showed, and where each door shows something else. */
export interface Compared {
  readonly bare: unknown
  readonly found: ReadonlyArray<Found>
}

export interface Suite {
  readonly compare: (given: Case) => Promise<Compared>
  readonly close: () => Promise<void>
}

type Way = "bare" | Door

/** Longer than any case takes, in milliseconds: one that hangs is told by its name. */
const MOST = 10_000

const openWay = (way: Way, given: Case, base: string): Promise<Opened> =>
  way === "bare" ? bare(given, base) : open(way, given, base)

/** Starts the service that cases are run against. */
export const start = async (): Promise<Suite> => {
  const server = await listen()
  const shared = new Map<Way, Promise<Opened>>()
  let line: Promise<unknown> = Promise.resolve()

  const playOnce = async (way: Way, given: Case): Promise<unknown> => {
    const { call, ignoresSent = false, isShared = false, origin, script } = given
    const played = server.play(script, isShared ? `shared-${way}` : undefined)
    const base = origin ?? played.base
    const opening = isShared ? shared.get(way) ?? openWay(way, given, base) : openWay(way, given, base)
    if (isShared) shared.set(way, opening)
    const { client, close } = await opening
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<unknown>((resolve) => {
      timer = setTimeout(() => resolve({ hung: `for ${MOST} ms` }), MOST)
    })
    try {
      return await Promise.race([Seen.play(() => call(client, played), played, ignoresSent), late])
    } finally {
      clearTimeout(timer)
      if (!isShared) await close()
    }
  }
  const run = async (given: Case): Promise<Compared> => {
    const [alone, ...balanced] = await Promise.all([
      playOnce("bare", given),
      ...doors.map((door) => playOnce(door, given))
    ])
    const found = doors.flatMap((door, i) =>
      differ(alone, balanced[i]).map(({ at, balanced, bare }): Found => ({
        case: given.name,
        door,
        at,
        bare,
        balanced
      }))
    )
    return { bare: alone, found }
  }
  return {
    compare: (given) => {
      if (given.isShared !== true) return run(given)
      // one after the other: a base has one script at a time
      const running = line.then(() => run(given))
      line = running.catch(() => {})
      return running
    },
    close: async () => {
      await Promise.all([...shared.values()].map((opening) => opening.then(({ close }) => close())))
      await server.close()
    }
  }
}
