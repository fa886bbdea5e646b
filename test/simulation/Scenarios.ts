/**
 * The scenarios.
 */
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import type { Change, Place, Scenario, Traffic } from "./Scenario.ts"

const usual: Traffic = {
  streamed: 0.7,
  promptTokens: 1000,
  promptSpread: 0.8,
  outputLimits: [100, 200, 300, 400, 800, undefined],
  longShare: 0,
  longTokens: 0,
  sessions: 0
}

const base = {
  load: 0.7,
  minutes: 15,
  traffic: usual,
  changes: [],
  balancers: 1,
  isTold: true,
  warmUp: 90
} satisfies Partial<Scenario>

/** Places on a resource each, by their thousands of tokens a minute. */
const apart = (...thousands: ReadonlyArray<number>): ReadonlyArray<Place> =>
  thousands.map((tpm, i) => ({ name: `d${i}`, resource: `r${i}`, tpm: tpm * 1000 }))

const equal = apart(200, 200, 200, 200, 200, 200)
const pooled = apart(600, 600, 600, 600, 600).map((place): Place => Object.assign({ isPooled: true }, place))
const unequal = apart(480, 340, 190, 120, 50, 50)

/** A fault in the middle third. */
const during = (fault: SimulatedFault, ...places: ReadonlyArray<string>): ReadonlyArray<Change> => [
  { at: 1 / 3, kind: "fault", fault, places },
  { at: 2 / 3, kind: "clear", places }
]

/** A fault that comes and goes in the middle third. */
const flapping = (fault: SimulatedFault, times: number, ...places: ReadonlyArray<string>): ReadonlyArray<Change> =>
  Array.from({ length: times }, (_, i): ReadonlyArray<Change> => [
    { at: (1 + i / times) / 3, kind: "fault", fault, places },
    { at: (1 + (i + 0.5) / times) / 3, kind: "clear", places }
  ]).flat()

const names = (places: ReadonlyArray<Place>): ReadonlyArray<string> => places.map(({ name }) => name)

export const scenarios: ReadonlyArray<Scenario> = [
  { ...base, name: "equal", about: "six alike, 70 % in use", places: equal },
  { ...base, name: "unequal-85", about: "quotas of 480 to 50, 85 % in use", places: unequal, load: 0.85 },
  { ...base, name: "unequal-114", about: "the same, asked for 114 % of all they have", places: unequal, load: 1.14 },
  {
    ...base,
    name: "slow",
    about: "one of six ten times slower for a third of the time",
    places: equal,
    changes: during({ kind: "slow", factor: 10 }, "d0")
  },
  {
    ...base,
    name: "failing",
    about: "one of six answers 500 at once for a third of the time",
    places: equal,
    changes: during({ kind: "status", status: 500 }, "d0")
  },
  {
    ...base,
    name: "flapping",
    about: "one of six answers 503, 15 s on, 15 s off",
    places: equal,
    changes: flapping({ kind: "status", status: 503 }, 10, "d0")
  },
  {
    ...base,
    name: "hanging",
    about: "one of six never answers for a third of the time",
    places: equal,
    changes: during({ kind: "hang" }, "d0")
  },
  {
    ...base,
    name: "all-slow",
    about: "all six four times slower for a third of the time",
    places: equal,
    changes: during({ kind: "slow", factor: 4 }, ...names(equal))
  },
  {
    ...base,
    name: "tiers",
    about: "two provisioned in tier 1, asked for twice what they have; three standard behind them",
    places: [
      { name: "d0", resource: "r0", tpm: 200_000, provisioned: true },
      { name: "d1", resource: "r1", tpm: 200_000, provisioned: true },
      { name: "d2", resource: "r2", tpm: 300_000, tier: 2 },
      { name: "d3", resource: "r3", tpm: 300_000, tier: 2 },
      { name: "d4", resource: "r4", tpm: 300_000, tier: 2 }
    ],
    load: 0.62
  },
  {
    ...base,
    name: "provisioned",
    about: "two provisioned of which nobody knows what they hold, asked for 135 % of that; three standard behind them",
    places: [
      { name: "d0", resource: "r0", tpm: 200_000, provisioned: true },
      { name: "d1", resource: "r1", tpm: 200_000, provisioned: true },
      { name: "d2", resource: "r2", tpm: 300_000, tier: 2 },
      { name: "d3", resource: "r3", tpm: 300_000, tier: 2 },
      { name: "d4", resource: "r4", tpm: 300_000, tier: 2 }
    ],
    load: (1.35 * 400) / 1300,
    isTold: false
  },
  {
    ...base,
    name: "region-lost",
    about: "three regions of two; one cannot be connected to for a third of the time",
    places: equal.map((place, i) => ({ ...place, resource: `r${Math.floor(i / 2)}` })),
    load: 0.55,
    changes: [
      {
        at: 1 / 3,
        kind: "outage",
        fault: { kind: "refused", because: "connect-timeout", afterMs: 10_000 },
        places: ["d0", "d1"]
      },
      { at: 2 / 3, kind: "clear", places: ["d0", "d1"] }
    ]
  },
  {
    ...base,
    name: "cold-start",
    about: "no quota is known, nothing was seen; one of six is three times slower from the first request",
    places: unequal,
    load: 0.6,
    minutes: 5,
    isTold: false,
    warmUp: 0,
    changes: [{ at: 0, kind: "fault", fault: { kind: "slow", factor: 3 }, places: ["d1"] }]
  },
  {
    ...base,
    name: "membership",
    about: "a sixth one joins after a third of the time, another leaves after two thirds",
    places: [...equal.slice(0, 5), { ...equal[5]!, isLater: true }],
    load: 0.65,
    changes: [
      { at: 1 / 3, kind: "join", places: ["d5"] },
      { at: 2 / 3, kind: "leave", places: ["d0"] }
    ]
  },
  {
    ...base,
    name: "fleet",
    about: "twenty balancers that know nothing of each other, 80 % in use",
    places: unequal,
    load: 0.8,
    balancers: 20
  },
  { ...base, name: "pool-85", about: "five regions on one quota, 85 % in use", places: pooled, load: 0.85 },
  {
    ...base,
    name: "pool-85-untold",
    about: "the same, and nobody says so",
    places: pooled,
    load: 0.85,
    isTold: false,
    warmUp: 120
  },
  { ...base, name: "pool-115", about: "the same, told, asked for 115 % of what they have", places: pooled, load: 1.15 },
  {
    ...base,
    name: "pool-115-untold",
    about: "the same, and nobody says so",
    places: pooled,
    load: 1.15,
    isTold: false,
    warmUp: 120
  },
  { ...base, name: "fleet-90", about: "the same, 90 % in use", places: unequal, load: 0.9, minutes: 10, balancers: 20 },
  {
    ...base,
    name: "fleet-115",
    about: "the same, asked for 115 % of all they have",
    places: unequal,
    load: 1.15,
    minutes: 5,
    balancers: 20
  },
  {
    ...base,
    name: "fleet-150",
    about: "the same, asked for 150 % of all they have",
    places: unequal,
    load: 1.5,
    minutes: 5,
    balancers: 20
  },
  {
    ...base,
    name: "fleet-failing",
    about: "twenty balancers, one of six answers 500 at once for a third of the time",
    places: equal,
    minutes: 9,
    balancers: 20,
    changes: during({ kind: "status", status: 500 }, "d0")
  },
  {
    ...base,
    name: "fleet-cold",
    about: "twenty balancers that begin together: no quota is known, nothing was seen",
    places: unequal,
    load: 0.6,
    minutes: 5,
    balancers: 20,
    isTold: false,
    warmUp: 0,
    changes: [{ at: 0, kind: "fault", fault: { kind: "slow", factor: 3 }, places: ["d1"] }]
  },
  {
    ...base,
    name: "long-prompts",
    about: "one prompt in twenty has 20,000 tokens, the others 500",
    places: apart(400, 400, 400, 400, 400, 400),
    traffic: { ...usual, promptTokens: 500, longShare: 0.05, longTokens: 20_000 }
  },
  {
    ...base,
    name: "sessions",
    about: "200 conversations that grow, all with the same system prompt",
    places: apart(600, 600, 600, 600, 600, 600),
    load: 0.6,
    traffic: { ...usual, sessions: 200 }
  },
  {
    ...base,
    name: "sessions-struck",
    about: "the same at 70 %, and one after the other fails, is slow, cannot be connected to and leaves",
    places: apart(600, 600, 600, 600, 600, 600),
    load: 0.7,
    traffic: { ...usual, sessions: 200 },
    changes: [
      { at: 0.1, kind: "fault", fault: { kind: "status", status: 500 }, places: ["d0"] },
      { at: 0.25, kind: "clear", places: ["d0"] },
      { at: 0.3, kind: "fault", fault: { kind: "slow", factor: 10 }, places: ["d1"] },
      { at: 0.45, kind: "clear", places: ["d1"] },
      { at: 0.5, kind: "outage", fault: { kind: "refused", because: "connect" }, places: ["d2"] },
      { at: 0.65, kind: "clear", places: ["d2"] },
      { at: 0.8, kind: "leave", places: ["d3"] }
    ]
  },
  {
    ...base,
    name: "sessions-hot",
    about: "half of all requests are of one session, a long prompt with a few words of its own each",
    places: apart(600, 600, 600, 600, 600, 600),
    load: 0.6,
    traffic: { ...usual, sessions: 200, hotShare: 0.5 }
  }
]

/** The same traffic where nothing is scarce and nothing fails: what sessions would have of their caches at best. */
export const untroubled = (scenario: Scenario): Scenario => ({
  ...scenario,
  places: scenario.places.map((place) => ({ ...place, tpm: place.tpm * PLENTY })),
  load: scenario.load / PLENTY,
  changes: []
})

const PLENTY = 100

export const scenarioNamed = (name: string): Scenario => scenarios.find((scenario) => scenario.name === name)!
