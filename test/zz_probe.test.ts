import { it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"

const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
const op = Schema.Union([
  Schema.Struct({ op: Schema.Literal("add"), n: small }),
  Schema.Struct({ op: Schema.Literal("wait"), ms: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 90_000 })) })
])
it.effect("sample", () => Effect.gen(function*() {
  const s = yield* Arbitrary.sampleEffect(Arbitrary.array(Arbitrary.schema(op), { maxLength: 100 }), { count: 5, seed: 1 } as any)
  console.log(JSON.stringify(s).slice(0, 2000))
  console.log((yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.String), { count: 20, seed: 1 } as any)))
  console.log(JSON.stringify(yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Json), { count: 10, seed: 1 } as any)))
  console.log(JSON.stringify(yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Uint8Array), { count: 4, seed: 1 } as any)))
  console.log(JSON.stringify(yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Number), { count: 20, seed: 1 } as any)))
}))
let lens: Array<number> = []
it.prop("shrinks", [Arbitrary.array(Arbitrary.schema(op), { maxLength: 200 })], ([ops]) => {
  lens.push(ops.length)
}, { arbitrary: { runs: 300, size: 60 } })
it.prop("fails", [Arbitrary.array(Arbitrary.schema(op), { maxLength: 200 })], ([ops]) => {
  return !ops.some((o, i) => o.op === "wait" && o.ms > 60_000 && ops[i+1]?.op === "add")
}, { arbitrary: { runs: 300, size: 60 } })
it("lens", () => { console.log(lens.length, Math.max(...lens), lens.slice(0, 30), lens.slice(-30)) })
