/**
 * What the page and `evenkeel top` are looked at with: a gateway over two models in five regions, under traffic.
 */
import type { ConfigInput } from "@evenkeel/core"
import OpenAI from "openai"
import { gated } from "../support/Gated.ts"

const latency = (baseMs: number) => ({ baseMs, perPromptTokenMs: 0.05, perOutputTokenMs: 6, tokensPerEvent: 2 })

const member = (name: string, baseMs: number, tpm: number, isFirst = false) => ({
  name,
  deployments: [
    {
      name: isFirst ? "gpt-4o-ptu" : "gpt-4o",
      model: "gpt-4o",
      ...(isFirst ? { provisioned: true } : { rpm: tpm / 150 }),
      tpm: isFirst ? tpm / 4 : tpm,
      latency: latency(baseMs),
      outputTokens: 60
    },
    {
      name: "gpt-4o-mini",
      model: "gpt-4o-mini",
      tpm: 2 * tpm,
      rpm: tpm / 50,
      latency: latency(baseMs / 2),
      outputTokens: 40
    }
  ]
})

const regions: Readonly<Record<string, string>> = {
  eastus: "eastus",
  eastus2: "eastus2",
  sweden: "swedencentral",
  france: "francecentral",
  japan: "japaneast"
}

/** Starts it, with so many requests a second. */
export const startScene = async (perSecond: number, config: Partial<ConfigInput> = {}) => {
  const gateway = await gated(
    [
      member("eastus", 160, 300_000, true),
      member("eastus2", 190, 240_000),
      member("sweden", 210, 200_000),
      member("france", 230, 160_000),
      member("japan", 280, 120_000)
    ],
    config,
    undefined,
    (resource) => {
      const deployments = (resource.deployments ?? []).map((deployment) =>
        Object.assign(deployment, { tier: deployment.provisioned === true ? 1 : 2 })
      )
      return { ...resource, region: regions[resource.name]!, deployments }
    }
  )
  const traffic = startTraffic(gateway.url, perSecond)
  const close = async () => {
    await traffic.stop()
    await gateway.close()
  }
  return { ...gateway, close, [Symbol.asyncDispose]: close }
}

const document = "A paragraph of a contract, to be read with care. ".repeat(120)

/** Asks as callers do: two thirds streamed, half in sessions, and some of the smaller model. */
export const startTraffic = (url: string, perSecond: number, apiKey = "any") => {
  const client = new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })
  const running = new Set<Promise<unknown>>()
  let turn = 0
  const ask = async () => {
    const n = turn++
    const asked = {
      model: n % 4 === 0 ? "gpt-4o-mini" : "gpt-4o",
      messages: [
        { role: "system" as const, content: n % 2 === 0 ? document : "Be brief." },
        { role: "user" as const, content: `What of item ${n}?` }
      ],
      max_completion_tokens: 100,
      ...(n % 2 === 0 ? { prompt_cache_key: `contract-${n % 12}` } : {})
    }
    if (n % 3 === 0) return client.chat.completions.create(asked)
    for await (const _ of await client.chat.completions.create({ ...asked, stream: true }));
    return undefined
  }
  const timer = setInterval(() => {
    const asked = ask().catch(() => {})
    running.add(asked)
    void asked.finally(() => running.delete(asked))
  }, 1000 / perSecond)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(running)
    }
  }
}
