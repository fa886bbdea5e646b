/**
 * `evenkeel top`: a running gateway in the terminal, live; once, where there is none.
 */
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { UserInput } from "effect/Terminal"
import type { BriefDecision } from "../gateway/Decisions.ts"
import type { Status } from "../gateway/OperatorPages.ts"
import { healthOf, ratesOf } from "../gateway/page/model.js"
import { type Canvas, redraw, span } from "./TerminalText.ts"
import { initial, orders, render, renderOnce, roomFor, shownOf, type TopState } from "./TopView.ts"

/** What it is given. */
export interface TopInput {
  readonly url: string
  readonly key: Option.Option<Redacted.Redacted<string>>
  readonly once: boolean
  readonly json: boolean
}

/** What a gateway answered, or did not. */
class Unheard extends Data.TaggedError("Unheard")<{ readonly message: string }> {}

const TIMEOUT = 10_000
/** Of a line where there is no terminal. */
const WIDTH = 160

/** Asks a page of the gateway, following it nowhere: the key is for it alone. */
const ask = (base: URL, key: string | undefined, path: string): Effect.Effect<unknown, Unheard> =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(new URL(path, base), {
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
        redirect: "error",
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` }
      })
      const body = await answer.json().catch(() => undefined) as
        | { readonly error?: { readonly message?: string } }
        | undefined
      if (answer.ok) return body
      const why = body?.error?.message ?? `status ${answer.status}`
      throw new Unheard({ message: `${base.host} refuses: ${span(String(why)).text}` })
    },
    catch: (error) => {
      if (error instanceof Unheard) return error
      const { cause = error, name } = error as Error
      const { code, message } = cause as { readonly code?: string; readonly message?: string }
      return new Unheard({ message: `${base.host} does not answer (${code ?? message ?? name}).` })
    }
  })

/** What is looked at of a gateway, as it is now. */
const look = (
  base: URL,
  key: string | undefined
): Effect.Effect<Pick<TopState, "decisions"> & { readonly status: Status }, Unheard> =>
  Effect.flatMap(
    Effect.all([ask(base, key, "status"), ask(base, key, "decisions?brief")], { concurrency: 2 }),
    ([given, decisions]) => {
      const status = given as Status | undefined
      const isOne = Array.isArray(status?.deployments) && Array.isArray(status.gateway?.history) &&
        Array.isArray(decisions)
      return isOne
        ? Effect.succeed({ status, decisions: decisions as ReadonlyArray<BriefDecision> })
        : Effect.fail(new Unheard({ message: `${base.host} is no gateway of this version.` }))
    }
  )

/** Shows a gateway. */
export const run = Effect.fnUntraced(function*({ json, key: given, once, url }: TopInput) {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    return yield* new Unheard({ message: `--url takes an http or https URL, and not ${JSON.stringify(url)}.` })
  }
  const base = new URL(url.endsWith("/") ? url : `${url}/`)
  const key = Option.getOrUndefined(Option.map(given, Redacted.value))
  const isLive = process.stdout.isTTY && process.env["TERM"] !== "dumb" && !once && !json
  if (isLive) return yield* Effect.scoped(watch(base, key))
  const heard = yield* look(base, key)
  if (json) {
    return yield* Console.log(
      JSON.stringify({ health: healthOf(heard.status), rates: ratesOf(heard.status), ...heard.status })
    )
  }
  const state = { ...initial(base.href), ...heard }
  yield* Console.log(renderOnce(state, process.stdout.columns ?? WIDTH).join("\n"))
})

// --- live -------------------------------------------------------------------------------------------------------------

const EVERY = 1000

/** Another screen, without a cursor and without lines that wrap; and the one before. */
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J"
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l"

/** Of the terminal; some do not say. */
const sizeOf = () => ({ columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 })

/** A terminal that is given back as it was, however this ends. */
const openScreen: Effect.Effect<(state: TopState) => void, never, Scope.Scope> = Effect.gen(function*() {
  const { env, stdout } = process
  const color = (env["NO_COLOR"] ?? "") === ""
  let isOpen = true
  const leave = () => {
    if (isOpen) stdout.write(LEAVE)
    isOpen = false
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      stdout.write(ENTER)
      // what nobody caught ends the process without its finalizers
      process.once("exit", leave)
    }),
    () =>
      Effect.sync(() => {
        process.off("exit", leave)
        leave()
      })
  )
  let shown: ReadonlyArray<string> = []
  let size = ""
  return (state) => {
    const { columns, rows } = sizeOf()
    const isResized = size !== `${columns} ${rows}`
    size = `${columns} ${rows}`
    const lines = render(state, { columns, rows, color })
    // a terminal that knows this shows a frame as a whole; the others ignore it
    const drawn = (isResized ? "\u001b[2J" : "") + redraw(isResized ? [] : shown, lines)
    if (drawn !== "") stdout.write(`\u001b[?2026h${drawn}\u001b[?2026l`)
    shown = lines
  }
})

/** Shows a gateway until its watcher quits. */
const watch = (base: URL, key: string | undefined): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const draw = yield* openScreen
    let state = initial(base.href)
    const change = (more: Partial<TopState>) => {
      state = { ...state, ...more }
      draw(state)
    }
    change({})
    const poll = Effect.map(Effect.result(look(base, key)), (heard) => {
      if (state.isPaused) return
      change(Result.isSuccess(heard) ? { ...heard.success, trouble: undefined } : { trouble: heard.failure.message })
    })
    const polling = Effect.suspend(() => state.isPaused ? Effect.void : poll)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(polling, Effect.sleep(EVERY))))
    const terminal = yield* NodeTerminal.make(({ key: { ctrl, name } }) => ctrl && (name === "c" || name === "d"))
    const sizes = yield* terminal.size
    yield* Effect.forkScoped(Effect.forever(Effect.map(Queue.take(sizes), () => change({}))))
    // without a keyboard it goes on until it is told to end
    if (!process.stdin.isTTY) return yield* Effect.never
    const input = yield* terminal.readInput
    const reading = Effect.gen(function*() {
      while (true) {
        const next = press(state, yield* Queue.take(input), sizeOf())
        if (next === "quit") return
        change(next)
      }
    })
    yield* Effect.ignore(reading)
  })

/** What a key changes. */
export const press = (
  state: TopState,
  { input, key: { ctrl, name } }: UserInput,
  canvas: Pick<Canvas, "columns" | "rows">
): Partial<TopState> | "quit" => {
  const typed = Option.getOrElse(input, () => "")
  const { filter, isPaused, isTyping, offset, order, showsDecisions } = state
  if (isTyping) {
    if (name === "return" || name === "enter") return { isTyping: false }
    if (name === "escape") return { isTyping: false, filter: "" }
    if (name === "backspace") return { filter: filter.slice(0, -1) }
    return ctrl || !/^[\p{L}\p{N}\p{P}\p{S} ]$/u.test(typed) ? {} : { filter: filter + typed, offset: 0 }
  }
  const room = roomFor(state, canvas)
  const last = Math.max(0, shownOf(state).length - room)
  const scroll = (by: number) => ({ offset: Math.min(last, Math.max(0, offset + by)) })
  switch (typed === "" || name === "escape" ? name : typed) {
    case "q":
      return "quit"
    case "s":
      return { order: orders[(orders.indexOf(order) + 1) % orders.length]!, offset: 0 }
    case "/":
      return { isTyping: true }
    case "escape":
      return { filter: "", offset: 0 }
    case "p":
      return { isPaused: !isPaused }
    case "d":
      return { showsDecisions: !showsDecisions }
  }
  switch (name) {
    case "up":
    case "k":
      return scroll(-1)
    case "down":
    case "j":
      return scroll(1)
    case "pageup":
      return scroll(-room)
    case "pagedown":
    case "space":
      return scroll(room)
    case "home":
      return { offset: 0 }
    case "end":
      return { offset: last }
  }
  return {}
}
