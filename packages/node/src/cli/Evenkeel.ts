/**
 * The command `evenkeel`: a thin shell over the library, with no logic of its own.
 *
 * Here is what each command takes. What it does is loaded when it runs: most of the library is none of `--help`'s business.
 */
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Flags from "./Flags.ts"

/** Loads what a command does, and does it. What goes wrong is told in its own words, and nothing of where in the code. */
const runs =
  <Input, E extends Error, R>(load: () => Promise<{ readonly run: (input: Input) => Effect.Effect<unknown, E, R> }>) =>
  (input: Input): Effect.Effect<void, CliError.UserError, R> =>
    Effect.promise(load).pipe(
      Effect.flatMap(({ run }) => run(input)),
      Effect.mapError((error) => {
        const told = new CliError.UserError({ cause: error, userMessage: error.message })
        return Object.assign(told, { [Runtime.errorExitCode]: Runtime.getErrorExitCode(error) })
      }),
      Effect.asVoid
    )

/** Examples of a command, each with what it does. */
const examples = (given: Readonly<Record<string, string>>) =>
  Command.withExamples(Object.entries(given).map(([command, description]) => ({ command, description })))

const serve = Command.make("serve", {
  config: Flags.config,
  host: Flag.optional(
    Flags.text("host", "address", "Interface to listen on (default: gateway.host, else 127.0.0.1)")
  ),
  port: Flags.port("Port to listen on (default: gateway.port, else 4000)"),
  logFormat: Flag.Literals("log-format", ["text", "json"]).pipe(
    Flag.withMetavar("format"),
    Flag.withDescription("How it logs; json is one entry a line (default: text)"),
    Flag.withDefault("text")
  )
}, runs(() => import("./Serve.ts"))).pipe(
  Command.withDescription("Serves the API of OpenAI and Azure OpenAI, balanced"),
  examples({ "evenkeel serve --config evenkeel.yaml": "Serve at 127.0.0.1:4000" })
)

const check = Command.make("check", {
  config: Flags.config,
  completion: Flags.isOn("completion", "Ask each deployment for a token, which costs a little"),
  json: Flags.json
}, runs(() => import("./Check.ts"))).pipe(
  Command.withDescription("Tells what is wrong with the configuration and all that it names"),
  examples({
    "evenkeel check --config evenkeel.yaml": "Ask each resource, for nothing",
    "evenkeel check --completion": "Ask each deployment for a token",
    "evenkeel check --completion && ./deploy": "Go on only where all is well"
  })
)

const simulate = Command.make("simulate", {
  file: Flags.text("file", "file", "YAML or JSON file of it all, in place of the other flags").pipe(
    Flag.withAlias("f"),
    Flag.optional
  ),
  deployments: Flag.optional(
    Flags.text("deployments", "list", "name or name=model, with commas (default: gpt-4o)")
  ),
  resources: Flags.int("resources", 1, 1000, "How many resources (default: 1)"),
  port: Flags.port("First port; the others follow; 0 for any (default: 5001)"),
  tpm: Flags.aboveZero("tpm", "Tokens a minute of each deployment (default: no limit)"),
  rpm: Flags.aboveZero("rpm", "Requests a minute of each deployment (default: no limit)"),
  printConfig: Flags.isOn("print-config", "Print nothing but a configuration of Evenkeel for it")
}, runs(() => import("./Simulate.ts"))).pipe(
  Command.withDescription("Simulates Azure OpenAI and OpenAI, with quotas and faults"),
  examples({
    "evenkeel simulate --resources 3 --deployments gpt-4o,gpt-4o-mini --tpm 30000":
      "Three resources, at ports 5001 to 5003",
    "evenkeel simulate --print-config > evenkeel.yaml":
      "And, in another terminal: evenkeel serve --config evenkeel.yaml"
  })
)

const init = Command.make("init", {
  output: Flags.text("output", "file", "File to write (default: evenkeel.yaml)").pipe(
    Flag.withAlias("o"),
    Flag.withDefault("evenkeel.yaml")
  ),
  yes: Flags.isOn("yes", "Ask nothing: write what the environment says").pipe(Flag.withAlias("y")),
  force: Flags.isOn("force", "Overwrite the file")
}, runs(() => import("./Init.ts"))).pipe(
  Command.withDescription("Writes a first configuration: asks, or reads the environment"),
  examples({
    "evenkeel init": "Ask, and write evenkeel.yaml",
    "evenkeel init --yes --output config/evenkeel.yaml": "From the variables of Azure OpenAI, or OPENAI_API_KEY"
  })
)

const key = Command.make("key", { json: Flags.json }, runs(() => import("./Key.ts"))).pipe(
  Command.withDescription("Makes a key for the gateway, and its hash for the configuration"),
  examples({ "evenkeel key": "Print a key, and what to write into the configuration" })
)

const top = Command.make("top", {
  url: Flags.text(
    "url",
    "url",
    "Of the gateway, or of its operators' port (default: http://127.0.0.1:4000)"
  ).pipe(Flag.withDefault("http://127.0.0.1:4000")),
  key: Flag.Redacted("key").pipe(
    Flag.withMetavar("key"),
    Flag.withDescription("An operator's key, where the gateway has keys; EVENKEEL_KEY is seen by fewer"),
    Flag.withFallbackConfig(Config.Redacted("EVENKEEL_KEY")),
    Flag.optional
  ),
  once: Flags.isOn("once", "Print it once, as where there is no terminal"),
  json: Flags.json
}, runs(() => import("./Top.ts"))).pipe(
  Command.withDescription("Shows a running gateway: how its deployments are, what changed"),
  examples({
    "evenkeel top": "The gateway at 127.0.0.1:4000, live",
    "evenkeel top --url http://10.0.0.4:4000 --once": "Another, once"
  })
)

/** All of it. */
export const evenkeel = Command.make("evenkeel").pipe(
  Command.withDescription("Spreads requests to Azure OpenAI and OpenAI over many deployments"),
  Command.withSubcommands([init, check, serve, top, key, simulate])
)
