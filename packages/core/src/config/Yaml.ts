/**
 * Plain data as YAML that people read: long texts are folded, short ones stand on their line.
 *
 * Effect reads YAML and does not write it, and the files that are written here need no more than this.
 */

/** What can be written. What is `undefined` is left out. */
export type Value = string | number | boolean | ReadonlyArray<Value> | { readonly [key: string]: Value | undefined }

/** Columns that a folded text takes, its indentation included. */
const WIDTH = 118

/**
 * Writes a record as YAML.
 */
export const stringify = (value: { readonly [key: string]: Value | undefined }): string =>
  `${lines(value, 0).join("\n")}\n`

const lines = (value: Value, indent: number): ReadonlyArray<string> => {
  const margin = " ".repeat(indent)
  if (isList(value)) {
    return value.flatMap((item) =>
      lines(item, indent + 2).map((line, i) => i === 0 ? `${margin}- ${line.slice(indent + 2)}` : line)
    )
  }
  if (typeof value !== "object") return [`${margin}${scalar(value)}`]
  return Object.entries(value).flatMap(([key, item]) => item === undefined ? [] : entry(scalar(key), item, indent))
}

const entry = (key: string, value: Value, indent: number): ReadonlyArray<string> => {
  const margin = " ".repeat(indent)
  if (typeof value === "object") return [`${margin}${key}:`, ...lines(value, indent + 2)]
  const written = `${margin}${key}: ${scalar(value)}`
  return typeof value === "string" && written.length > WIDTH && isFoldable(value)
    ? [`${margin}${key}: >-`, ...fold(value, indent + 2)]
    : [written]
}

const isList = (value: Value): value is ReadonlyArray<Value> => Array.isArray(value)

/** A folded text comes back as it was where one space is between its words. */
const isFoldable = (text: string): boolean => /^\S+( \S+)*$/.test(text)

const fold = (text: string, indent: number): ReadonlyArray<string> => {
  const margin = " ".repeat(indent)
  const folded: Array<string> = []
  let line = ""
  // a template of Prometheus is one word
  for (const word of text.match(/(?:\{\{.*?\}\}|\S)+/g) ?? []) {
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
      folded.push(`${margin}${line}`)
      line = ""
    }
    line = line === "" ? word : `${line} ${word}`
  }
  folded.push(`${margin}${line}`)
  return folded
}

/** A text stands as it is where it can be nothing else; JSON's quotes are YAML's too. */
export const scalar = (value: string | number | boolean): string => {
  if (typeof value !== "string") return String(value)
  const isPlain = /^[A-Za-z][\w /().,%-]*$/.test(value) && !/^(?:true|false|yes|no|on|off|null|y|n)$/i.test(value) &&
    !value.endsWith(" ")
  return isPlain || /^\d+[smhd]$/.test(value) ? value : JSON.stringify(value)
}
