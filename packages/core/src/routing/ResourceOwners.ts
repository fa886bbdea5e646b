/**
 * Which resource made what: stored responses, conversations and encrypted reasoning items work only where they were
 * made. Learned from answers; bounded, the longest unused forgotten first.
 */

/** Ids remembered. */
const CAPACITY = 20_000

/**
 * Memory of owners.
 */
export class ResourceOwners {
  private readonly owners = new Map<string, string>()

  /** The resource that made any of these, if one is known. */
  find(ids: ReadonlyArray<string>): string | undefined {
    for (const id of ids) {
      const owner = this.owners.get(id)
      if (owner !== undefined) return owner
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
