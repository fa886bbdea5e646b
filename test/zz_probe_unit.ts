import { assert } from "/work/main/node_modules/.pnpm/chai@6.3.0/node_modules/chai/index.js"
import { readFileSync } from "node:fs"
import * as L from "@evenkeel/core/request/LlmRequest"
const v = JSON.parse(readFileSync("/tmp/unit/value.json", "utf8"))
let bad = 0
for (let i = 0; i < 60; i++) {
  const { model: _, ...rest } = v.parameters
  const sent = L.jsonBody(JSON.stringify(rest)).withModel(v.name) as string
  const A = JSON.parse(sent), B = JSON.parse(JSON.stringify({ ...rest, model: v.name }))
  try { assert.deepStrictEqual(A, B) } catch {
    bad++
    if (bad === 1) {
      const ka = Object.keys(A), kb = Object.keys(B)
      console.log("keys", ka.length, kb.length, JSON.stringify(ka.filter((k) => !Object.hasOwn(B, k))), JSON.stringify(kb.filter((k) => !Object.hasOwn(A, k))))
      for (const k of ka) { try { assert.deepStrictEqual(A[k], B[k]) } catch { console.log("K", JSON.stringify(k), JSON.stringify(A[k]), JSON.stringify(B[k])) } }
      const sa = [...ka].sort(), sb = [...kb].sort()
      sa.forEach((k, j) => { if (k !== sb[j]) console.log("order", j, JSON.stringify(k), JSON.stringify(sb[j])) })
    }
  }
}
console.log(bad)
