/**
 * Which resource made what: whatever is stored, and encrypted reasoning, works only where it was made. Learned from
 * answers; bounded, the longest unused forgotten first, since what is forgotten is searched for.
 */

/** Ids remembered: a response has one, and one for each item of its output. */
const CAPACITY = 50_000

/**
 * Memory of owners.
 */
export class ResourceOwners {
  private readonly owners = new Map<string, string>()

  /** The resource that made any of these, if one is known. */
  find(ids: ReadonlyArray<string>): string | undefined {
    for (const id of ids) {
      const owner = this.owners.get(id)
      if (owner === undefined) continue
      this.remember([id], owner)
      return owner
    }
    return undefined
  }

  /** A resource made, or knows, all of these. */
  remember(ids: ReadonlyArray<string>, resource: string): void {
    for (const id of ids) {
      this.owners.delete(id)
      this.owners.set(id, resource)
    }
    while (this.owners.size > CAPACITY) {
      const oldest = this.owners.keys().next().value
      if (oldest === undefined) return
      this.owners.delete(oldest)
    }
  }
}
