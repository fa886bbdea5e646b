/**
 * A small seedable source of numbers, so that a simulation can be repeated.
 */

/**
 * Creates a source of numbers in [0, 1) that gives the same numbers for the same seed.
 */
export const make = (seed: number): () => number => {
  let state = Math.trunc(seed) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * Draws from the lognormal distribution with mean 1 and the given spread.
 */
export const lognormal = (random: () => number, sigma: number): number => {
  const radius = Math.sqrt(-2 * Math.log(1 - random()))
  const normal = radius * Math.cos(2 * Math.PI * random())
  return Math.exp(sigma * normal - sigma * sigma / 2)
}

/**
 * Hashes a text to 32 bits (FNV-1a).
 */
export const hash = (text: string, seed = 0x811c9dc5): number => {
  let value = seed >>> 0
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  }
  return value >>> 0
}
