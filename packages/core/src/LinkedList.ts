/**
 * A list that keeps the order in which its members came, and lets any of them go at once.
 *
 * For what comes and goes with each request, where a `Set` costs as much as the request: a `Set` of V8 copies its table every
 * few entries, the old table points at the new one, and so, once one of them is old enough to be left alone by the quick
 * collections of garbage, each keeps alive what was in the next.
 */

/** A member: it is in one list at a time, and only lists change what is here. */
export interface Linked<A extends Linked<A>> {
  list: LinkedList<A> | undefined
  previous: A | undefined
  next: A | undefined
}

/** Members in the order in which they came. To add, to delete and to find the first take the same time however many there are. */
export class LinkedList<A extends Linked<A>> {
  first: A | undefined
  private last: A | undefined

  /** Adds a member as the last, unless it is in a list. */
  add(member: A): void {
    if (member.list !== undefined) return
    member.list = this
    member.previous = this.last
    if (this.last === undefined) this.first = member
    else this.last.next = member
    this.last = member
  }

  /** Those who are here now: they may come and go meanwhile. */
  [Symbol.iterator](): Iterator<A> {
    const members: Array<A> = []
    for (let member = this.first; member !== undefined; member = member.next) members.push(member)
    return members.values()
  }

  /** Lets a member go, if it is here. It keeps nothing of the list. */
  delete(member: A): void {
    if (member.list !== this) return
    const { next, previous } = member
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    member.list = undefined
    member.previous = undefined
    member.next = undefined
  }
}
