import { assert, describe, it } from "@effect/vitest"
import { fast, serve } from "../support/Served.ts"

/** Six resources that all serve these models. */
const six = () => serve(["r0", "r1", "r2", "r3", "r4", "r5"].map((name) => ({ name, deployments })))

const deployments = ["gpt-4o", "sora-2", "o3"].map((name) => ({ name, latency: fast }))

const model = "gpt-4o"

/** Does something several times, and gives how many sends that took. */
const sendsOf = async (served: Awaited<ReturnType<typeof six>>, times: number, once: () => Promise<unknown>) => {
  const before = served.sends()
  for (let i = 0; i < times; i++) await once()
  return served.sends() - before
}

describe("what was made through lb.openai is found at once", () => {
  it("a video, which is made with a form", async () => {
    await using served = await six()
    const { videos } = served.lb.openai
    const sends = await sendsOf(served, 10, async () => {
      const { id } = await videos.create({ model: "sora-2", prompt: "A cat." })
      assert.strictEqual((await videos.retrieve(id)).id, id)
      await videos.delete(id)
    })
    assert.strictEqual(sends, 30)
  })

  it("a file, which is uploaded, and read by a response", async () => {
    await using served = await six()
    const { files, responses } = served.lb.openai
    const sends = await sendsOf(served, 10, async () => {
      const file = await files.create({ file: new File(["text"], "a.txt"), purpose: "user_data" })
      const content = [{ type: "input_file" as const, file_id: file.id }]
      await responses.create({ model, input: [{ role: "user", content }] })
      assert.strictEqual((await files.retrieve(file.id)).id, file.id)
    })
    assert.strictEqual(sends, 30)
  })

  it("an assistant, and its runs in a thread", async () => {
    await using served = await six()
    const { assistants, threads } = served.lb.openai.beta
    const sends = await sendsOf(served, 10, async () => {
      const { id } = await assistants.create({ model: "o3" })
      const run = await threads.createAndRun({ assistant_id: id })
      assert.match(run.id, /^run_/)
      await assistants.delete(id)
    })
    assert.strictEqual(sends, 30)
  })

  it("a response that is compacted, and a background one that is polled and cancelled", async () => {
    await using served = await six()
    const { responses } = served.lb.openai
    const sends = await sendsOf(served, 10, async () => {
      const { id } = await responses.create({ model, input: "Hello", background: true })
      await responses.retrieve(id)
      await responses.cancel(id)
      const compacted = await responses.compact({ model, previous_response_id: id })
      await responses.create({ model, input: compacted.output as never })
    })
    assert.strictEqual(sends, 50)
  })

  it("also by a program that speaks HTTP", async () => {
    await using served = await six()
    const ask = async (path: string, init?: RequestInit) => {
      const response = await served.lb.fetch(`https://api.openai.com/v1${path}`, init)
      assert.strictEqual(response.status, 200)
      return (await response.json()) as { readonly id: string }
    }
    const post = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }
    const sends = await sendsOf(served, 10, async () => {
      const { id } = await ask("/assistants", { ...post, body: JSON.stringify({ model: "o3" }) })
      assert.strictEqual((await ask(`/assistants/${id}`)).id, id)
    })
    assert.strictEqual(sends, 20)
  })
})
