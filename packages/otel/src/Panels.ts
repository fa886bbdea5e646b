/**
 * The questions of an on-call night, and the queries that answer them: symptoms first, causes after.
 */
import { counted, type Instrument, observed } from "@evenkeel/core/internal"
import {
  attemptsPerRequest,
  cachedShare,
  callMetrics,
  costPerHour,
  errorRatio,
  everywhere,
  headroom,
  repeated,
  unanswered
} from "./Indicators.ts"
import { bad, each, figure, good, graph, legend, quantiles, query, type Row, row, table, timeline } from "./Panel.ts"
import {
  aggregate,
  type Expression,
  type Grouping,
  interval,
  labels,
  type Matchers,
  mean,
  promql,
  quantile,
  series,
  share,
  sumRate,
  window
} from "./PromQl.ts"

/** Share of attempts that ended in this way, of those that neither their caller nor a peer's answer ended. */
const attemptRatio = (outcome: "failed" | "throttled", by: Grouping): Expression =>
  share(
    sumRate(counted.attempts, by, { outcome }),
    sumRate(counted.attempts, by, { outcome: ["success", "failed", "throttled"] })
  )

const perMinute = (counter: Instrument, by: Grouping): Expression => promql`60 * ${sumRate(counter, by)}`

/** What is true now, over processes. */
const stateBy =
  (operator: "sum" | "min" | "max") =>
  (instrument: Instrument, by: Grouping = [], matchers: Matchers = {}): Expression =>
    aggregate(operator, series(instrument, matchers), by)

const sumOf = stateBy("sum")
const minOf = stateBy("min")
const maxOf = stateBy("max")

/** States of a deployment from best to worst, as numbers that can be drawn. */
const states = [
  ["healthy", "green"],
  ["draining", "blue"],
  ["cooling-down", "yellow"],
  ["half-open", "orange"],
  ["open", "red"]
] as const

const worstState = (by: Grouping): Expression =>
  aggregate(
    "max",
    states
      .map(([state], i) => promql`${series(observed.state, { state })} * ${i}`)
      .reduce((all, one) => promql`${all} or ${one}`),
    by
  )

/** No error of the service or of the balancer: answered, or given up by the caller. */
const answered: Matchers = { errorType: "" }

/**
 * Everything that the dashboard shows, from what callers feel down to what explains it.
 */
export const rows = (names: "stable" | "latest" = "stable"): ReadonlyArray<Row> => {
  const { duration, firstChunk, input, output, perChunk } = callMetrics(names)
  return [
    row("At a glance", [
      figure("Errors that callers see", "percentunit", {
        description: "Share of requests that ended unanswered: throttled, unavailable, timed out or cut short. " +
          "Requests that were wrong themselves, or given up by their caller, are left out.",
        steps: bad(0.001, 0.01),
        queries: [query("errors", errorRatio([]))]
      }),
      figure("Requests", "reqps", {
        description: "Requests a second that ended, however they did.",
        queries: [query("requests", sumRate(counted.requests))]
      }),
      figure("Latency p99 of answers", "s", {
        description:
          "Over all attempts and waits, to the last token. Long answers are slow: see the time to first token.",
        queries: [query("p99", quantile(0.99, duration, [], answered))]
      }),
      figure("Time to first token p99", "s", {
        description: "Of streams, over all attempts and waits. This is what people feel.",
        steps: bad(3, 10),
        queries: [query("p99", quantile(0.99, firstChunk))]
      }),
      figure("Healthy deployments", "none", {
        description: "Of each model, as the process sees it that sees fewest. 0: nothing is left but to wait or to " +
          "fail. One whose quota is used up is healthy all the same: see the headroom.",
        steps: good(1, 2),
        queries: [each(["model"], (by) => minOf(observed.deployments, by, { state: "healthy" }))]
      }),
      figure("Cost per hour", "currencyUSD", {
        description: "At the rate of now, of what has a known price. Provisioned throughput is paid for besides.",
        queries: [query("per hour", costPerHour([]))]
      })
    ]),
    row("What do callers feel?", [
      graph("Requests by outcome", "reqps", {
        description: "Rejected, ContentFiltered and UnknownModel are wrong requests: look at who sends them. " +
          "Interrupted ones were given up: look at the latency.",
        stacked: true,
        queries: [each(["outcome"], (by) => sumRate(counted.requests, by))]
      }),
      graph("Error ratio by model", "percentunit", {
        description:
          "Share of requests that ended unanswered. One model: its deployments. All: see who is to blame below.",
        steps: bad(0.001, 0.01),
        queries: [each(["model"], errorRatio)]
      }),
      graph("What ended the search for an answer", "reqps", {
        description: "attempts: all failed. budget: the retry budget is spent. waiting: not enough quota. " +
          "no-deployment: none is up. missing: the configuration is wrong.",
        stacked: true,
        queries: [
          query(
            legend`${"outcome"}, ${"limitedBy"}`,
            sumRate(counted.requests, ["outcome", "limitedBy"], { outcome: unanswered })
          )
        ]
      }),
      graph("Latency of answers", "s", {
        description: "Over all attempts and waits, to the last token.",
        queries: quantiles(duration, ["model"], answered)
      }),
      graph("Latency of whole answers and of streams", "s", {
        description:
          "Requests that were answered: a stream lasts for as long as its reader takes, a whole answer does not.",
        queries: quantiles(counted.duration, ["model", "streamed"], { outcome: "success" })
      }),
      graph("Time to first token", "s", {
        description: "Of streams, over all attempts and waits.",
        queries: quantiles(firstChunk, ["model"])
      }),
      graph("Time between pieces of a stream", "s", {
        description: "Rises when the service decodes slowly; a p99 of seconds is a stream that stutters.",
        queries: quantiles(perChunk, ["model"])
      })
    ]),
    row("Why did p99 rise?", [
      graph("Where the time of a request goes", "s", {
        description: "On average. What is between the whole, and its waiting and its answering attempt, was lost in " +
          "attempts that failed. The answering attempt itself: the service, or longer answers.",
        queries: [
          query("the whole", mean(duration)),
          query("answering attempt", mean(counted.attemptDuration, [], { outcome: "success" })),
          query(
            "waiting",
            share(
              sumRate(counted.waits, [], {}, interval, "sum"),
              sumRate(duration, [], {}, interval, "count")
            )
          ),
          query("the balancer itself", mean(counted.overhead))
        ]
      }),
      graph("Time spent waiting", "s", {
        description: "Of requests that stood in line for a deployment to come back, or backed off. It is quota, or " +
          "an outage, and not slowness.",
        queries: quantiles(counted.waits, ["model"])
      }),
      graph("Line of waiting requests", "short", {
        description: "A line that does not go away is more traffic than quota.",
        queries: [each(["model"], (by) => sumOf(observed.queue, by))]
      }),
      graph("Tokens of each answer", "short", {
        description: "Longer prompts raise the time to first token, longer answers the latency: nobody is slow then.",
        queries: [
          each(["model"], (by) => quantile(0.99, input[0], by, input[1]), "in, p99"),
          each(["model"], (by) => quantile(0.99, output[0], by, output[1]), "out, p99")
        ]
      }),
      graph("Attempts given up because nothing came in time", "short", {
        description: "A minute, by what was waited for. Each costs its caller the whole time limit.",
        queries: [query(legend`${"deployment"}, ${"stage"}`, perMinute(counted.stalls, ["deployment", "stage"]))]
      }),
      graph("Balancer overhead", "s", {
        description: "What the balancer itself takes of a request, and of that the choice of a deployment. " +
          "Milliseconds mean that the process is short of CPU: the balancer is not the only one that is slow then.",
        queries: [
          ...quantiles(counted.overhead, ["api"]),
          query(legend`choice for ${"model"} p99`, quantile(0.99, counted.selection, ["model"]))
        ]
      })
    ]),
    row("Is it us, one region or the service?", [
      graph("Failed attempts by region", "percentunit", {
        description: "One region: the service's, and traffic leaves it by itself. All at once: us (network, DNS, " +
          "credentials), or all of the service. Deployments without a region are one line without a name.",
        steps: bad(0.01, 0.1),
        queries: [each(["region"], (by) => attemptRatio("failed", by))]
      }),
      graph("Failed attempts by deployment", "percentunit", {
        description: "Share of attempts that failed there, throttling left out. Callers need not have noticed.",
        steps: bad(0.01, 0.1),
        queries: [each(["deployment"], (by) => attemptRatio("failed", by))]
      }),
      graph("Attempts that did not succeed, by error", "reqps", {
        description: "5xx, timeout and error-event: the service. dns, connect, tls, reset: the network between. " +
          "401, 403, credential: our keys. 404: our configuration. 429: quota.",
        stacked: true,
        queries: [
          each(["errorType"], (by) => sumRate(counted.attempts, by, { outcome: ["failed", "throttled", "refused"] }))
        ]
      }),
      graph("Time to first token by deployment", "s", {
        description:
          "p99 of streamed attempts. One line above the others is that deployment; all together, the service.",
        queries: [each(["deployment"], (by) => quantile(0.99, counted.attemptFirstChunk, by))]
      }),
      graph("Latency of attempts by region", "s", {
        description: "p99 of attempts that succeeded.",
        queries: [
          each(["region", "model"], (by) => quantile(0.99, counted.attemptDuration, by, { outcome: "success" }))
        ]
      }),
      graph("Slowness", "short", {
        description: "First tokens, answers and decoding against what is expected of the model: 2 is twice as slow, " +
          "whatever was asked. Traffic leaves slow deployments.",
        steps: bad(1.5, 3),
        queries: [each(["deployment"], (by) => maxOf(observed.slowness, by))]
      }),
      graph("Resources that are out", "short", {
        description:
          "Processes that see a resource fail as a whole, with all its deployments: credentials, DNS, network.",
        queries: [each(["resource", "state"], (by) => sumOf(observed.resource, by, { state: { not: ["healthy"] } }))]
      }),
      graph("Active checks", "short", {
        description: "A minute, by what was wrong. Failing checks without failing attempts: the check itself is wrong.",
        queries: [each(["resource", "outcome", "reason"], (by) => perMinute(counted.checks, by))]
      }),
      graph("Duration of active checks", "s", {
        description: "The network and the service without any model: what every attempt pays before its first token.",
        queries: [each(["resource"], (by) => quantile(0.99, counted.checkDuration, by), "p99")]
      })
    ]),
    row("Who is throttled or out, and until when?", [
      timeline("State of each deployment", "none", {
        description: "The worst that any process sees. cooling-down: told to wait. open: failing, no traffic. " +
          "half-open: one request is let through to see.",
        mappings: states.map(([text, color], value) => ({ value, text, color })),
        queries: [each(["deployment"], worstState)]
      }),
      table("What each deployment is", "none", {
        description: "Tier 1 is used first; a provisioned one is paid for by the hour, whether it is used or not.",
        queries: [
          query(
            legend`${"deployment"}: tier ${"tier"}, ${"region"}, provisioned ${"provisioned"}, quota of ${"quota"}`,
            maxOf(observed.info, ["deployment", "model", "region", "tier", "provisioned", "quota"])
          )
        ]
      }),
      table("Out now, why, and for how long yet", "s", {
        description: "Seconds until it may be used again, by the process that waits longest. 0: it is being tried. " +
          "429: quota. 401, 403, credential: our keys. missing: it does not exist. 5xx: the service.",
        width: 12,
        queries: [
          query(
            legend`${"deployment"} ${"reason"}`,
            promql`${
              aggregate("max", promql`${series(observed.outage)} == 1`, ["deployment", "model", "reason"])
            } * on (${labels(["deployment", "model"])}) group_left () ${
              maxOf(observed.recovery, ["deployment", "model"])
            }`
          )
        ]
      }),
      graph("Throttled attempts by deployment", "percentunit", {
        description: "Share of attempts that were answered with 429. Some is the price of using all of a quota.",
        width: 12,
        steps: bad(0.05, 0.25),
        queries: [each(["deployment"], (by) => attemptRatio("throttled", by))]
      }),
      graph("Cooldowns a minute", "short", {
        description: "Answers that told us to wait, or that there is no such deployment (404).",
        queries: [each(["deployment", "reason"], (by) => perMinute(counted.cooldowns, by))]
      }),
      graph("Time to recovery", "s", {
        description: "Until a deployment may be used again. Waits that grow are a service that keeps refusing.",
        queries: [each(["deployment"], (by) => maxOf(observed.recovery, by))]
      })
    ]),
    row("How much headroom is left before 429s?", [
      graph("Headroom by model", "percentunit", {
        description: "What is left of all known limits of a model, at deployments that take traffic now. At 0 " +
          "requests wait, then fail. Deployments whose limit nobody knows are not in it.",
        steps: good(0.1, 0.25),
        queries: [
          each(["model"], (by) => headroom("tokens", by), "tokens"),
          each(["model"], (by) => headroom("requests", by), "requests")
        ]
      }),
      graph("Utilisation by deployment", "percentunit", {
        description: "Of the scarcer limit, by us and by others. Above 0.85 quota decides where requests go.",
        steps: bad(0.85, 1),
        queries: [each(["deployment"], (by) => maxOf(observed.utilisation, by))]
      }),
      graph("Time until the quota has room", "s", {
        description:
          "By our own count, for the smallest request; 0 is room now. One that is full is healthy, and gets nothing.",
        queries: [each(["deployment"], (by) => maxOf(observed.quotaWait, by))]
      }),
      graph("Utilisation in half an hour", "percentunit", {
        description: "If it goes on as in the last half hour. Above 1: ask for quota, or add a deployment, now.",
        steps: bad(0.85, 1),
        queries: [
          each(["deployment"], (by) =>
            aggregate(
              "max",
              promql`clamp(predict_linear(${series(observed.utilisation)}[${window("30m")}], 1800), 0, 2)`,
              by
            ))
        ]
      }),
      graph("Utilisation: tokens or requests?", "percentunit", {
        description:
          "Which of the two limits is the scarcer one. Requests: ask for more requests a minute, not tokens.",
        queries: [
          each(["deployment"], (by) => maxOf(observed.tokenUtilisation, by), "tokens"),
          each(["deployment"], (by) => maxOf(observed.requestUtilisation, by), "requests")
        ]
      }),
      graph("Who uses the quota: tokens a minute", "short", {
        description: "Self is this service, summed over its processes. Others is what one process saw of all other " +
          "clients, and so counts this service's other processes too.",
        queries: [
          each(["deployment"], (by) => sumOf(observed.tokensUsed, by, { client: "self" }), "self"),
          each(["deployment"], (by) => maxOf(observed.tokensUsed, by, { client: "others" }), "others"),
          each(["deployment"], (by) => maxOf(observed.tokenLimit, by), "limit")
        ]
      }),
      graph("Who uses the quota: requests a minute", "short", {
        description: "Likewise, in requests.",
        queries: [
          each(["deployment"], (by) => sumOf(observed.requestsUsed, by, { client: "self" }), "self"),
          each(["deployment"], (by) => maxOf(observed.requestsUsed, by, { client: "others" }), "others"),
          each(["deployment"], (by) => maxOf(observed.requestLimit, by), "limit")
        ]
      }),
      graph("Left by the service's own word: tokens", "short", {
        description: "From its last answer. It stands still where there is no traffic.",
        queries: [each(["deployment"], (by) => minOf(observed.tokensRemaining, by))]
      }),
      graph("Left by the service's own word: requests", "short", {
        description: "From its last answer. It stands still where there is no traffic.",
        queries: [each(["deployment"], (by) => minOf(observed.requestsRemaining, by))]
      }),
      graph("Spilled over by the service", "short", {
        description: "A minute: a provisioned deployment was full, and the service used a standard one, which is " +
          "paid for by the token.",
        queries: [each(["deployment"], (by) => perMinute(counted.spillovers, by))]
      })
    ]),
    row("Are retries making it worse?", [
      graph("Attempts per request", "short", {
        description: "1 is none but the first. While half of the deployments are healthy, a request's first failover " +
          "to one with quota is free; what is beyond that is held to a budget.",
        steps: bad(1.2, 1.5),
        queries: [each(["model"], attemptsPerRequest)]
      }),
      graph("Attempts by why they were made", "reqps", {
        description: "first, failover to another deployment, retry at the same one, hedge beside a late one, check.",
        stacked: true,
        queries: [each(["role"], (by) => sumRate(counted.attempts, by))]
      }),
      graph("How attempts beyond the first end", "reqps", {
        description: "Failovers that succeed hide an outage, and are worth it. Ones that fail only add load.",
        queries: [each(["role", "outcome"], (by) => sumRate(counted.attempts, by, repeated))]
      }),
      graph("Failovers a minute", "short", {
        description: "By the deployment that was left, and why.",
        queries: [each(["deployment", "errorType"], (by) => perMinute(counted.failovers, by))]
      }),
      graph("Retries that the budget would grant", "short", {
        description: "Of the process that has fewest. At 0 requests fail without another attempt, so that an outage " +
          "is not multiplied.",
        queries: [query("fewest", minOf(observed.retriesLeft))]
      }),
      graph("Hedges a minute, and those that won", "short", {
        description:
          "Hedges were sent beside a late deployment; wins answered first. Few wins: hedging is not worth it.",
        queries: [
          each(["deployment"], (by) => perMinute(counted.hedges, by), "was late"),
          each(["deployment"], (by) => perMinute(counted.hedgeWins, by), "won")
        ]
      }),
      graph("Tokens of hedges", "short", {
        description: "A second: what hedging uses of quotas.",
        queries: [each(["deployment"], (by) => sumRate(counted.hedgeTokens, by))]
      }),
      graph("Panic", "short", {
        description: "Attempts a minute at deployments that are known to fail, because all others fail too.",
        steps: bad(0.1, 1),
        queries: [each(["model", "deployment"], (by) => perMinute(counted.panics, by))]
      }),
      graph("Ejections a minute", "short", {
        description: "Times that a deployment lost its traffic, and why: its own failures, its resource's, or missing.",
        queries: [each(["deployment", "reason"], (by) => perMinute(counted.ejections, by))]
      }),
      graph("Breakers a minute", "short", {
        description: "open, half-open, open again: it is still failing. closed: it is back.",
        queries: [each(["name", "state"], (by) => perMinute(counted.transitions, by))]
      }),
      graph("Warmth", "percentunit", {
        description: "Share of its weight that a deployment gets while it comes back.",
        queries: [each(["deployment"], (by) => minOf(observed.warmth, by))]
      }),
      graph("Attempts under way", "short", {
        description:
          "And those of them whose first token has not come: when they rise and the rate does not, it is stuck.",
        queries: [
          each(["deployment"], (by) => sumOf(observed.active, by)),
          each(["deployment"], (by) => sumOf(observed.waiting, by), "waiting")
        ]
      })
    ]),
    row("Are caches warm? Which sessions moved, and why?", [
      graph("Cached share of prompt tokens by deployment", "percentunit", {
        description: "Cached tokens are cheaper, and come sooner. It falls when sessions move, or prompts change at " +
          "their beginning.",
        queries: [each(["deployment"], cachedShare)]
      }),
      graph("Cached share by placement", "percentunit", {
        description: "home should be far above moved and new. Where it is not, the service's cache does not hold them.",
        queries: [each(["session"], cachedShare)]
      }),
      graph("Requests of sessions by placement", "reqps", {
        description: "home: where the cache is warm. moved: elsewhere. new: warm nowhere.",
        stacked: true,
        queries: [each(["session"], (by) => sumRate(counted.placements, by))]
      }),
      graph("Session moves a minute", "short", {
        description: "By the deployment that was left, and why. Which sessions they were is in spans and events.",
        width: 12,
        queries: [each(["deployment", "moveReason"], (by) => perMinute(counted.moves, by))]
      }),
      graph("Sessions remembered", "short", {
        description: "Over all processes. A fall to 0 is a restart: caches are still warm, but nobody knows where.",
        width: 12,
        queries: [query("sessions", sumOf(observed.sessions))]
      })
    ]),
    row("Does the fleet hear of itself?", [
      graph("Members that each process hears", "short", {
        description: "The fewest and the most of any process. 1 is a process that goes on alone, as its fleet's " +
          "store does not answer; 0 one that is in no fleet.",
        width: 12,
        queries: [
          query("fewest", minOf(observed.fleetMembers)),
          query("most", maxOf(observed.fleetMembers))
        ]
      }),
      graph("Age of what was heard last", "s", {
        description: "The oldest of any process. It is below a second or so while the store answers.",
        width: 12,
        queries: [query("oldest", maxOf(observed.fleetAge))]
      })
    ]),
    row("What does this cost?", [
      graph("Cost per hour by model", "currencyUSD", {
        description: "At the rate of now, at list or configured prices.",
        stacked: true,
        queries: [each(["model"], costPerHour)]
      }),
      graph("Cost per hour by deployment", "currencyUSD", {
        description: "Provisioned deployments cost nothing more; what was spilled over by the service does.",
        stacked: true,
        queries: [each(["deployment"], costPerHour)]
      }),
      graph("Cost per hour by why it was spent", "currencyUSD", {
        description: "What failovers, retries, hedges and checks cost beside first attempts.",
        stacked: true,
        queries: [each(["role"], costPerHour)]
      }),
      graph("Cost per thousand requests", "currencyUSD", {
        description: "It rises with longer prompts and answers, colder caches, or dearer models.",
        queries: [
          each(
            ["model"],
            (by) => promql`1000 * ${sumRate(counted.cost, by, everywhere)} / ${sumRate(counted.requests, by)}`
          )
        ]
      }),
      graph("Tokens by kind", "short", {
        description: "A second. Cached tokens are part of input, reasoning tokens of output.",
        queries: [each(["tokenType"], (by) => sumRate(counted.tokens, by))]
      }),
      graph("Answers without a price", "short", {
        description: "A minute. They are missing from every cost above: give their model a price.",
        steps: bad(0.001, 1),
        queries: [each(["deployment", "responseModel"], (by) => perMinute(counted.unpriced, by))]
      })
    ])
  ]
}
