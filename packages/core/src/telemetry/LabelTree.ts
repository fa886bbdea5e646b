/**
 * Values by lists of labels.
 *
 * One label after the other, so that to look something up no key is pieced together, which takes several times as long,
 * and no two lists are confused, whatever is in them.
 */

/** Values of attributes. What is `undefined`, or empty, is left out. */
export type Labels = ReadonlyArray<string | undefined>

type Branch<A> = Map<string, Branch<A> | A>

/**
 * Values by lists of so many labels.
 */
export class LabelTree<A extends object> {
  private readonly depth: number
  private readonly root: Branch<A> = new Map()

  constructor(depth: number) {
    // no label at all is as one that is left out
    this.depth = Math.max(1, depth)
  }

  find(labels: Labels): A | undefined {
    let found: Branch<A> | A | undefined = this.root
    for (let i = 0; i < this.depth && found !== undefined; i++) found = (found as Branch<A>).get(labels[i] ?? "")
    return found as A | undefined
  }

  set(labels: Labels, value: A): void {
    let branch = this.root
    for (let i = 0; i < this.depth - 1; i++) {
      const label = labels[i] ?? ""
      let next = branch.get(label) as Branch<A> | undefined
      if (next === undefined) branch.set(label, next = new Map())
      branch = next
    }
    branch.set(labels[this.depth - 1] ?? "", value)
  }

  /** Takes out a value that is there, and the branches that it leaves empty. */
  delete(labels: Labels): void {
    this.cut(this.root, labels, 0)
  }

  private cut(branch: Branch<A>, labels: Labels, at: number): void {
    const label = labels[at] ?? ""
    if (at < this.depth - 1) {
      const next = branch.get(label) as Branch<A>
      this.cut(next, labels, at + 1)
      if (next.size > 0) return
    }
    branch.delete(label)
  }
}
