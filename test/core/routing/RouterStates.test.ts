import type { Deployment } from "#core/deployment/Deployment"
import { ask as whether } from "#core/routing/Router"
import * as SeededRandom from "#core/simulation/SeededRandom"
import { assert, describe, it } from "@effect/vitest"
import { Policy } from "@evenkeel/core"
import { Schema } from "effect"
import { ask } from "../../support/Asking.ts"
import { check, integer } from "../../support/Check.ts"
import { demandOf, makeDeployments, makeGroup } from "../../support/Parts.ts"

const touch = Schema.Struct({
  which: integer(0, 23),
  how: Schema.Literals(["fail", "probe", "cool", "use", "drain", "resource", "try"]),
  amount: integer(0, 20_000)
})

describe("a choice, over any state of the deployments", () => {
  it.prop("is one that passes, of the best tier, never a repeat while another passes; else a time still to come", {
    tiers: Schema.Array(integer(1, 3)).check(Schema.isMinLength(1), Schema.isMaxLength(24)),
    touches: Schema.Array(touch),
    session: Schema.UndefinedOr(Schema.String),
    warm: integer(0, 23),
    tokens: integer(0, 1500),
    seed: Schema.Int
  }, ({ seed, session, tiers, tokens, touches, warm }) => {
    const deployments = makeDeployments(tiers.map((tier) => ({ tier, tpm: 1000 })))
    const tried = new Set<Deployment>()
    let now = 0
    for (const { amount, how, which } of touches) {
      const deployment = deployments[which % deployments.length]!
      now += amount / 10
      if (how === "fail") deployment.breaker.trip(now, 0.5, "down")
      if (how === "resource") deployment.resource.breaker.trip(now, 0.5, "down")
      if (how === "probe") deployment.enter(now, 1)
      if (how === "cool") deployment.cooldown.begin(now, amount, "http 429")
      if (how === "use") deployment.quota.reserve(now, amount / 20)
      if (how === "drain" && amount > 15_000) deployment.draining = true
      if (how === "try") tried.add(deployment)
    }
    const policy = Policy.powerOfTwoChoices(0.85)
    const random = SeededRandom.make(seed)
    const decision = ask(deployments, {
      now,
      policy,
      random,
      session,
      tokens,
      tried,
      warm: deployments[warm % deployments.length]
    })
    const group = makeGroup(deployments)
    const question = { group, demand: demandOf(tokens), tried, session, shard: 0, warm: undefined }
    const answer = whether(question, now)
    assert.strictEqual(answer._tag, decision._tag === "Decision" ? "Ready" : "NoCandidate")
    if (answer._tag === "Ready") assert.strictEqual(answer.isRepeat, decision._tag === "Decision" && decision.isRepeat)
    const passes = (one: Deployment) => ask([one], { now, tokens })._tag === "Decision"
    const fresh = deployments.filter((one) => !tried.has(one) && passes(one))
    if (decision._tag === "NoCandidate") {
      assert.isFalse(deployments.some(passes))
      assert.isAbove(decision.opensAt, now)
      return
    }
    assert.isTrue(passes(decision.deployment))
    assert.strictEqual(decision.isRepeat, tried.has(decision.deployment))
    if (fresh.length === 0) return
    assert.isFalse(decision.isRepeat)
    if (session === undefined) assert.strictEqual(decision.deployment.tier, Math.min(...fresh.map(({ tier }) => tier)))
  }, check())
})
