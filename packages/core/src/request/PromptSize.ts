/**
 * Tokens of a request before it is sent: characters / 4, as Azure's own admission estimates them, corrected by what
 * the model's answers billed. No tokenizer: 27,000 tokens would block the event loop for 7 ms.
 */

const CHARACTERS_PER_TOKEN = 4
/** An image at high detail is billed at several hundred tokens, whatever its bytes. */
const IMAGE_CHARACTERS = 765 * CHARACTERS_PER_TOKEN
/** Base64 audio and files: their tokens are far fewer than their characters. */
const BINARY_SHARE = 1 / 16

/**
 * Characters that count as prompt in any value of a request body: text in strings, parts, tools and schemas.
 * Images, audio and files count as what they are billed at, not as their base64.
 */
export const countCharacters = (value: unknown): number => {
  if (typeof value === "string") return value.length
  if (typeof value !== "object" || value === null) return typeof value === "number" ? 2 : 0
  let characters = 0
  if (Array.isArray(value)) {
    for (const item of value) characters += countCharacters(item)
    return characters
  }
  const record = value as Record<string, unknown>
  switch (record["type"]) {
    case "image_url":
    case "input_image":
      return IMAGE_CHARACTERS
    case "input_audio":
    case "input_file":
    case "file": {
      for (const key in record) characters += countCharacters(record[key])
      return Math.ceil(characters * BINARY_SHARE)
    }
  }
  for (const key in record) characters += key.length + countCharacters(record[key])
  return characters
}

const OUTPUT_MEMORY = 50
/** Share of its weight that a prompt keeps with each one after it. */
const KEPT = 0.98
/** What is believed before any answer: a prompt of so many tokens at four characters each. */
const PRIOR_TOKENS = 25
const DEFAULT_OUTPUT = 256

/**
 * What one model's answers taught: billed tokens per character, and how long answers are that set no limit.
 */
export class TokenEstimate {
  /** Characters and tokens of the last prompts, older ones counting less: large prompts say more than small ones. */
  private characters = PRIOR_TOKENS * CHARACTERS_PER_TOKEN
  private tokens = PRIOR_TOKENS
  private tokensPerCharacter = 1 / CHARACTERS_PER_TOKEN
  private output = DEFAULT_OUTPUT
  private outputSamples = 0

  /** Prompt tokens of so many characters. */
  prompt(characters: number): number {
    return Math.ceil(characters * this.tokensPerCharacter)
  }

  /** Output tokens to reserve when the request sets no limit: the average of the model's answers, 256 before any. */
  get unlimitedOutput(): number {
    return Math.ceil(this.output)
  }

  /** Learns from an answer. The correction stays between a quarter and four times. */
  learn(characters: number, promptTokens: number, outputTokens: number): void {
    if (characters > 0 && promptTokens > 0) {
      this.characters = this.characters * KEPT + characters
      this.tokens = this.tokens * KEPT + promptTokens
      const correction = (this.tokens / this.characters) * CHARACTERS_PER_TOKEN
      this.tokensPerCharacter = Math.min(4, Math.max(0.25, correction)) / CHARACTERS_PER_TOKEN
    }
    if (outputTokens > 0) {
      this.output += (outputTokens - this.output) / Math.min(++this.outputSamples, OUTPUT_MEMORY)
    }
  }
}
