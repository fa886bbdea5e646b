/**
 * The prompt cache: a prompt whose beginning was seen a short while ago costs less time and less money.
 *
 * A prefix is kept in blocks of 128 tokens, and counts from 1,024 tokens on. Blocks that nobody asks for go after an
 * idle time. A block can be met only after the prompt that brought it was processed.
 */
import { hash } from "./SeededRandom.ts"

const blockTokens = 128
const leastTokens = 1_024

/**
 * What the cache knows of one prompt.
 */
export interface CacheLookup {
  /** 0, 1024, 1152, … */
  readonly cachedTokens: number
  /** What is kept of the rest, to be met later. */
  readonly writtenTokens: number
  /** Keeps the prompt, to be met from `readyAt` on. */
  readonly remember: (readyAt: number) => void
}

/**
 * The prompt cache of one deployment, or of a whole resource.
 */
export interface SimulatedCache {
  readonly lookup: (key: string, text: string, charactersPerToken: number, now: number) => CacheLookup
}

/**
 * Creates an empty prompt cache. It keeps at most `maxBlocks` blocks, dropping the longest unused.
 */
export const make = (options: {
  /** How long an unused prompt stays. Default 5 minutes. */
  readonly idleMs?: number | undefined
  readonly maxBlocks?: number | undefined
}): SimulatedCache => {
  const { idleMs = 300_000, maxBlocks = 200_000 } = options
  // When a block was used last; in the future while its prompt is being processed.
  const usedAt = new Map<number, number>()

  return {
    lookup(key, text, charactersPerToken, now) {
      if (text.length < leastTokens * charactersPerToken) return nothing
      const blocks = hashBlocks(key, text, Math.round(blockTokens * charactersPerToken))
      let hits = 0
      for (; hits < blocks.length; hits++) {
        const used = usedAt.get(blocks[hits]!)
        if (used === undefined || used > now || now - used > idleMs) break
      }
      return {
        cachedTokens: hits * blockTokens >= leastTokens ? hits * blockTokens : 0,
        writtenTokens: (blocks.length - hits) * blockTokens,
        remember(readyAt) {
          blocks.forEach((block, index) => {
            const known = usedAt.get(block)
            const pending = known !== undefined && known > now
            usedAt.delete(block)
            usedAt.set(block, index < hits ? now : pending ? Math.min(known, readyAt) : readyAt)
          })
          for (const oldest of usedAt.keys()) {
            if (usedAt.size <= maxBlocks) break
            usedAt.delete(oldest)
          }
        }
      }
    }
  }
}

const nothing: CacheLookup = { cachedTokens: 0, writtenTokens: 0, remember() {} }

/** One number for each whole block, standing for it and everything before it. */
const hashBlocks = (key: string, text: string, blockLength: number): Array<number> => {
  const blocks: Array<number> = []
  let low = hash(key)
  let high = hash(key, 0x9747b28c)
  for (let end = blockLength; end <= text.length; end += blockLength) {
    for (let i = end - blockLength; i < end; i++) {
      const character = text.charCodeAt(i)
      low = Math.imul(low ^ character, 0x01000193)
      high = Math.imul(high + character, 0x85ebca6b) ^ (high >>> 13)
    }
    blocks.push((high & 0x1fffff) * 4_294_967_296 + (low >>> 0))
  }
  return blocks
}
