import { Effect, Stream } from "effect"
import { LoadBalancer } from "@evenkeel/core"
import { fleet, hello } from "./Balanced.ts"
const f = fleet([{ name: "a", deployments: [{ name: "gpt-4o", tpm: 100000, rpm: 600 }] }, { name: "b", deployments: [{ name: "gpt-4o", tpm: 100000, rpm: 600 }] }])
const p = Effect.gen(function*() {
  const lb = yield* LoadBalancer
  const a = yield* lb.chat(hello)
  console.log(a.choices[0]?.message.content?.slice(0, 50), a.usage)
  let n = 0
  yield* Stream.runForEach(lb.chatStream(hello), (c) => Effect.sync(() => { n++ }))
  console.log("chunks", n)
  f.services["a"]!.fault("*", { kind: "status", status: 500 })
  for (let i = 0; i < 5; i++) yield* lb.chat(hello, { session: "s" + i })
  console.log(JSON.stringify(yield* lb.snapshot, null, 1))
})
Effect.runPromise(p.pipe(Effect.provide(f.layer))).catch((e) => console.log(e, e?.message))
