/**
 * Shows what goes on until it is stopped: redrawn in place, or a line every few seconds where nothing can be redrawn.
 */
import type { Screen } from "./screen.ts"
import { line } from "./text.ts"
import { entryLine, type Picture, renderStatus, renderView } from "./view.ts"

const FRAME = 200
const STATUS = 2_000

/**
 * @returns what stops it, and gives the terminal back; to call it again does nothing
 */
export const show = (screen: Screen, look: () => Picture): { readonly stop: () => void } => {
  let printed = 0
  const draw = () => screen.draw(renderView(look(), screen.canvas()))
  const print = () => {
    const picture = look()
    const news = picture.log.slice(printed).map((entry) => line(entryLine(entry), screen.canvas()))
    printed = picture.log.length
    screen.print([...news, renderStatus(picture)])
  }
  const update = screen.isLive ? draw : print
  const timer = setInterval(update, screen.isLive ? FRAME : STATUS)
  if (screen.isLive) draw()
  // a signal ends the process as it would have, once the terminal is as it was
  const leave = (signal: NodeJS.Signals) => {
    stop()
    process.kill(process.pid, signal)
  }
  process.once("SIGINT", leave).once("SIGTERM", leave).once("exit", screen.close)
  const stop = () => {
    clearInterval(timer)
    process.off("SIGINT", leave).off("SIGTERM", leave)
    screen.close()
  }
  return { stop }
}
