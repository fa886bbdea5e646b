/**
 * Which resource made what: whatever is stored, and encrypted reasoning, works only where it was made. Learned from
 * answers; bounded, the longest unused forgotten first, since what is forgotten is searched for.
 */
import { remember } from "../Remember.ts"

/** Ids remembered: a response has one, and one for each item of its output. */
const CAPACITY = 50_000

/**
 * Memory of owners.
 */
export class ResourceOwners {
  private readonly owners = new Map<string, string>()
  /** What other processes know, by a hash of the id, and how it is told to them; where there are any. */
  private shared: {
    readonly hash: (id: string) => string
    readonly owners: Map<string, string>
    readonly tell: (ids: ReadonlyArray<string>, resource: string) => void
  } | undefined

  /** Shares what is remembered from now on. */
  share(hash: (id: string) => string, tell: (ids: ReadonlyArray<string>, resource: string) => void): void {
    this.shared = { hash, tell, owners: new Map() }
  }

  /** Another process says that a resource made what has an id of this hash. */
  hear(hashed: string, resource: string): void {
    if (this.shared !== undefined) remember(this.shared.owners, hashed, resource, CAPACITY)
  }

  /** The resource that made any of these, if one is known. */
  find(ids: ReadonlyArray<string>): string | undefined {
    for (const id of ids) {
      const owner = this.owners.get(id) ?? this.shared?.owners.get(this.shared.hash(id))
      if (owner === undefined) continue
      this.remember([id], owner)
      return owner
    }
    return undefined
  }

  /** A resource made, or knows, all of these. */
  remember(ids: ReadonlyArray<string>, resource: string): void {
    const { shared } = this
    if (shared !== undefined) {
      const news = ids.filter((id) =>
        this.owners.get(id) !== resource && shared.owners.get(shared.hash(id)) !== resource
      )
      if (news.length > 0) shared.tell(news, resource)
    }
    for (const id of ids) remember(this.owners, id, resource, CAPACITY)
  }
}
