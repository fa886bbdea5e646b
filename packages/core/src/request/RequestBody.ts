/**
 * Bodies of requests: written once, and sent by every attempt, whichever deployment it goes to.
 */

/**
 * A body that can be sent more than once. `withModel` puts a deployment's name where the caller's model was, and asks for
 * the usage of a stream, where that is open and the deployment is one to ask.
 */
export interface RequestBody {
  readonly contentType: string | undefined
  readonly withModel: (name: string | undefined, asksUsage?: boolean) => string | Uint8Array | undefined
}

/** No body. */
export const noBody: RequestBody = { contentType: undefined, withModel: () => undefined }

/** Bytes or text sent as they are. */
export const rawBody = (content: string | Uint8Array, contentType: string | undefined): RequestBody => ({
  contentType,
  withModel: () => content
})

/**
 * A JSON object, given as the serialisation of everything but its `model` and its open stream options. They are put in
 * front, as each deployment wants them.
 */
export const jsonBody = (written: string, openStreamOptions?: Readonly<Record<string, unknown>>): RequestBody => {
  const rest = written === "{}" ? "}" : `,${written.slice(1)}`
  const withModel = (name: string | undefined, asksUsage = false) => {
    const model = name === undefined ? "" : `"model":${JSON.stringify(name)}`
    const options = openStreamOptions === undefined
      ? ""
      : writtenOptions(asksUsage ? { ...openStreamOptions, include_usage: true } : openStreamOptions)
    if (options === "") return model === "" ? written : `{${model}${rest}`
    return `{${model}${model === "" ? "" : ","}${options}${rest}`
  }
  return { contentType: "application/json", withModel }
}

const writtenOptions = (options: Readonly<Record<string, unknown>>): string =>
  Object.keys(options).length === 0 ? "" : `"stream_options":${JSON.stringify(options)}`
