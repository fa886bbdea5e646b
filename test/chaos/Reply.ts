/**
 * What is asked and what must be said to it: a reply names its question and its generation, numbers its words and ends in
 * a checksum, so that a lost, repeated or foreign piece shows.
 */
import { hash } from "#core/simulation/SeededRandom"

export interface Question {
  readonly id: string
  /** Length of the reply. */
  readonly words: number
}

/** The prompt of a question. */
export const ask = ({ id, words }: Question): string => `Question ${id}: count to ${words}.`

/** The question of a prompt; of a foreign one, such as a health check, there is none. */
export const questionOf = (prompt: unknown): Question | undefined => {
  const found = /^Question (\w+): count to (\d+)\.$/.exec(String(prompt))
  return found === null ? undefined : { id: found[1]!, words: Number(found[2]) }
}

/** What one generation says to a question. No two generations say the same. */
export const say = ({ id, words }: Question, generation: number): string => {
  const mark = hash(`${id} ${generation}`).toString(36).slice(0, 3)
  const counted = Array.from({ length: words }, (_, i) => `${i + 1}${mark}`).join(" ")
  const said = `${id}/${generation}: ${counted}`
  return `${said} =${hash(said).toString(36)}`
}

/** What is wrong with what was heard: of all of an answer, or of its beginning where it was left or broke. */
export const flawOf = (question: Question, heard: string, isWhole: boolean): string | undefined => {
  const generation = /^\w+\/(\d+):/.exec(heard)?.[1]
  if (generation === undefined) {
    const isBeginning = !isWhole && (`${question.id}/`.startsWith(heard) || /^\w+\/\d*$/.test(heard))
    return isBeginning ? undefined : `says whatever: ${excerpt(heard)}`
  }
  const said = say(question, Number(generation))
  if (isWhole ? heard === said : said.startsWith(heard)) return undefined
  return `is not what generation ${generation} said: ${excerpt(heard)} instead of ${excerpt(said)}`
}

const excerpt = (text: string): string =>
  text.length < 120 ? `"${text}"` : `"${text.slice(0, 50)} … ${text.slice(-60)}"`
