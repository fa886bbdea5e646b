/**
 * Members of a fleet around one store, without a clock, a network or a balancer: what is said and heard, step by step.
 */
import type { Deployment } from "#core/deployment/Deployment"
import { EventHub } from "#core/EventHub"
import { quotaKey } from "#core/fleet/FleetKeys"
import type { QuotaHeard, Said } from "#core/fleet/FleetStore"
import { Realm } from "#core/fleet/Realm"
import { StoreState } from "#core/fleet/StoreState"
import { Tidings } from "#core/fleet/Tidings"
import { makeDeployments, makeGroup, type PartOptions } from "../../support/Parts.ts"

/** What becomes of an exchange. */
export type Fate = "arrives" | "lost-there" | "lost-back"

export interface Member {
  readonly realm: Realm
  readonly tidings: Tidings
  readonly deployments: ReadonlyArray<Deployment>
}

/** Where the store's clock is, when the members' is at 0. */
const EPOCH = 1_800_000_000_000

/** The usual time between exchanges, in milliseconds. */
export const EVERY = 250

export class Rig {
  readonly store = new StoreState()
  readonly members: ReadonlyArray<Member>
  now = 1000
  /** What arrives once more, later. */
  private looks = 0
  private readonly stragglers: Array<Said> = []

  constructor(count: number, parts: ReadonlyArray<PartOptions>) {
    this.members = Array.from({ length: count }, (_, i) => {
      const deployments = makeDeployments(parts)
      const group = makeGroup(deployments)
      const health = { openFor: 5000, consecutiveFailures: 5 }
      const tidings = new Tidings(group, health, new EventHub(() => EPOCH + this.now), () => 0.5)
      return { realm: new Realm("gpt", `member-${i}`, group, tidings), tidings, deployments }
    })
  }

  /** One exchange of a member. Returns what it heard of a deployment's quota, by the deployment's number. */
  exchange(
    member: number,
    fate: Fate = "arrives",
    isRepeatedLater = false
  ): ((deployment: number) => QuotaHeard | undefined) | undefined {
    const { deployments, realm } = this.members[member]!
    const said = realm.say(this.now)
    if (fate === "lost-there") return undefined
    if (isRepeatedLater) this.stragglers.push(said)
    const heard = this.store.exchange(said, EPOCH + this.now)
    if (fate === "lost-back") return undefined
    realm.hear(said, heard, this.now, this.now, EVERY)
    return (deployment) => {
      const key = quotaKey(deployments[deployment]!)
      return heard.quotas[said.quotas.findIndex((quota) => quota.key === key)]
    }
  }

  /** What was on its way for long arrives. */
  straggle(): void {
    for (const said of this.stragglers.splice(0)) this.store.exchange(said, EPOCH + this.now)
  }

  /** Everybody exchanges so often, and nothing is lost. */
  exchangeAll(times: number): void {
    for (let i = 0; i < times; i++) this.members.forEach((_, member) => this.exchange(member))
  }

  /** Tokens that the store has of a deployment's quota. */
  stored(deployment: number): number {
    const { quotas: [quota] } = this.store.exchange({
      member: "watcher",
      realm: "gpt",
      sequence: ++this.looks,
      quotas: [{
        key: quotaKey(this.members[0]!.deployments[deployment]!),
        record: "",
        uses: [],
        room: { tokens: 0, requests: 0, slice: 0 },
        told: { tokens: 0, requests: 0 },
        share: 0
      }],
      wants: [],
      marks: [],
      rows: [],
      owners: [],
      cursor: ""
    }, EPOCH + this.now)
    return quota!.tokens
  }

  /** Tokens that the ledgers of all members have, in the store's own window. */
  used(deployment: number): number {
    const oldest = Math.floor((EPOCH + this.now) / 1000) - 60
    let sum = 0
    for (const { deployments } of this.members) {
      deployments[deployment]!.quota.ownTokens.each(this.now, (beganAt, tokens) => {
        if (Math.floor((EPOCH + beganAt) / 1000) >= oldest) sum += tokens
      })
    }
    return sum
  }
}
