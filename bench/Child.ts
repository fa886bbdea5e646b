/**
 * Processes of the bench that are asked by messages.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"

/** Starts a module of the bench in a process of its own, and waits for the first thing that it says. */
export const startChild = async <A>(module: string, args: ReadonlyArray<string>) => {
  // what it logs is none of the figures
  const child = fork(new URL(module, import.meta.url), [...args], { stdio: ["ignore", 2, 2, "ipc"] })
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${module} ended with ${code}`)
  })
  const [first] = await Promise.race([once(child, "message"), ended]) as [A]
  ended.catch(() => {})
  return { child, first }
}

/** Asks it, and waits for its answer, or for its end. */
export const askChild = async <A>(child: ChildProcess, question: string | number): Promise<A> => {
  const asked = new AbortController()
  const ended = once(child, "exit", asked).then(([code]) => {
    throw new Error(`it ended with ${code}`)
  })
  child.send(question)
  const [answer] = await Promise.race([once(child, "message"), ended]).finally(() => asked.abort()) as [A]
  return answer
}
