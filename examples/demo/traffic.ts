/**
 * Callers: plain calls, streamed calls, and questions about long contracts, a session for each contract.
 *
 * They know nothing of deployments. They have the official client, and count what they see.
 */
import type { LoadBalancerClient } from "@evenkeel/node"
import { model } from "./fleet.ts"

/** What the callers saw. */
export interface Tally {
  started: number
  answered: number
  failed: number
  streamed: number
  inSessions: number
  /** Errors that callers saw, by what they were told. */
  readonly errors: Map<string, number>
}

export interface Traffic {
  readonly tally: Tally
  /** Asks nothing new, and waits until all have their answers. */
  readonly stop: () => Promise<void>
}

const CONTRACTS = 18

const questions = ["What is due next?", "Who signed it?", "How does it end?", "What would you change?", "Is it legal?"]

/** A document of about 1,500 tokens, which every question about it repeats: worth finding in a prompt cache. */
const documentOf = (contract: number): string =>
  `Contract ${contract}. ` + `A paragraph of contract ${contract}, to be read with care. `.repeat(115)

/**
 * Starts callers that ask so many times a second, whatever becomes of the answers.
 */
export const startTraffic = (lb: LoadBalancerClient, perSecond: number): Traffic => {
  const tally: Tally = { started: 0, answered: 0, failed: 0, streamed: 0, inSessions: 0, errors: new Map() }
  const running = new Set<Promise<void>>()
  const call = async (ask: () => Promise<string>) => {
    try {
      const text = await ask()
      if (text === "") throw new Error("The answer is empty")
      tally.answered++
    } catch (error) {
      const text = describe(error)
      tally.failed++
      tally.errors.set(text, (tally.errors.get(text) ?? 0) + 1)
    }
  }
  const next = () => {
    const turn = tally.started++
    const kind = turn % 5
    const question = questions[turn % questions.length]!
    const contract = Math.floor(turn / 2.5) % CONTRACTS
    // two of five in a session and streamed, one streamed, two plain
    if (kind < 2) tally.inSessions++
    if (kind < 3) tally.streamed++
    const asked = call(() =>
      kind < 2
        ? stream(lb.session(`contract-${contract}`), question, documentOf(contract))
        : kind === 2
        ? stream(lb.openai, question)
        : plain(lb.openai, question)
    )
    running.add(asked)
    void asked.finally(() => running.delete(asked))
  }
  let timer = setTimeout(function again() {
    next()
    timer = setTimeout(again, 1000 / perSecond * (0.5 + Math.random()))
  }, 0)
  return {
    tally,
    stop: async () => {
      clearTimeout(timer)
      await Promise.all(running)
    }
  }
}

/** What a caller was told, without what is different each time. */
const describe = (error: unknown): string => {
  const [told = ""] = (error instanceof Error ? error.message : String(error)).split(" Attempts:")
  return told.replace(/The stream of \S+ broke after \d+ events/, "A stream broke after its first words")
}

type Client = LoadBalancerClient["openai"]

const instructions = "You answer questions about contracts, kindly and in one sentence. ".repeat(9)

const messagesOf = (question: string, document = instructions) => [
  { role: "system" as const, content: document },
  { role: "user" as const, content: question }
]

const plain = async (client: Client, question: string): Promise<string> => {
  const answer = await client.chat.completions.create({
    model,
    messages: messagesOf(question),
    max_completion_tokens: 120
  })
  return answer.choices[0]?.message.content ?? ""
}

const stream = async (client: Client, question: string, document?: string): Promise<string> => {
  const chunks = await client.chat.completions.create({
    model,
    messages: messagesOf(question, document),
    max_completion_tokens: 120,
    stream: true
  })
  let text = ""
  let isFinished = false
  for await (const { choices } of chunks) {
    text += choices[0]?.delta.content ?? ""
    isFinished ||= choices[0]?.finish_reason != null
  }
  if (!isFinished) throw new Error("The stream ended before its answer did")
  return text
}
