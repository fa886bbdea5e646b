/**
 * `Headers` for the official client, without what the platform's own costs to build: each name and value checked.
 */
import type { InspectOptions } from "node:util"
import { type Inspect, inspectKey } from "./Inspect.ts"

/** Headers as they came, under lower-case names: what `Headers` answers, without its checks of each. */
export class LeanHeaders {
  readonly #values: Record<string, string>
  #sorted: ReadonlyArray<string> | undefined

  constructor(values: Readonly<Record<string, string>>) {
    // without a prototype, so that only what came is there
    this.#values = Object.assign(Object.create(null), values)
  }

  get(name: string): string | null {
    return this.#values[name.toLowerCase()] ?? null
  }

  has(name: string): boolean {
    return this.#values[name.toLowerCase()] !== undefined
  }

  getSetCookie(): Array<string> {
    const value = this.get("set-cookie")
    return value === null ? [] : [value]
  }

  set(name: string, value: string): void {
    this.#sorted = undefined
    this.#values[name.toLowerCase()] = String(value)
  }

  append(name: string, value: string): void {
    const known = this.get(name)
    this.set(name, known === null ? value : `${known}, ${value}`)
  }

  delete(name: string): void {
    this.#sorted = undefined
    delete this.#values[name.toLowerCase()]
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.entries()) callback.call(thisArg, value, name, this as unknown as Headers)
  }

  entries(): IterableIterator<[string, string]> {
    return this.#names().map((name): [string, string] => [name, this.#values[name]!]).values()
  }

  keys(): IterableIterator<string> {
    return this.#names().values()
  }

  values(): IterableIterator<string> {
    return this.#names().map((name) => this.#values[name]!).values()
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries()
  }

  #names(): ReadonlyArray<string> {
    return this.#sorted ??= Object.keys(this.#values).toSorted()
  }

  get [Symbol.toStringTag](): string {
    return "Headers"
  }

  [inspectKey](_depth: number, options: InspectOptions, inspect: Inspect): string {
    return `Headers ${inspect(Object.fromEntries(this), options)}`
  }
}
Object.setPrototypeOf(LeanHeaders.prototype, Headers.prototype)
