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

const serve = Command.make("serve", {
  config: Flags.config,
  host: Flag.String("host").pipe(
    Flag.withMetavar("address"),
    Flag.withDescription("Interface to listen on (default: gateway.host, else 127.0.0.1)"),
    Flag.optional
  ),
  port: Flags.port.pipe(
    Flag.withDescription("Port to listen on (default: gateway.port, else 4000)"),
    Flag.optional
  ),
  logFormat: Flag.Literals("log-format", ["text", "json"]).pipe(
    Flag.withMetavar("format"),
    Flag.withDescription("How it logs; json is one entry a line (default: text)"),
    Flag.withDefault("text")
  )
}, runs(() => import("./Serve.ts"))).pipe(
  Command.withDescription("Serves the API of OpenAI and Azure OpenAI, balanced"),
  Command.withExamples([
    { command: "evenkeel serve --config evenkeel.yaml", description: "Serve at 127.0.0.1:4000" }
  ])
)

const check = Command.make("check", {
  config: Flags.config,
  completion: Flag.Boolean("completion").pipe(
    Flag.withDescription("Ask each deployment for a token, which costs a little"),
    Flag.withDefault(false)
  ),
  json: Flags.json
}, runs(() => import("./Check.ts"))).pipe(
  Command.withDescription("Tells what is wrong with the configuration and all that it names"),
  Command.withExamples([
    { command: "evenkeel check --config evenkeel.yaml", description: "Ask each resource, for nothing" },
    { command: "evenkeel check --completion", description: "Ask each deployment for a token" },
    { command: "evenkeel check --completion && ./deploy", description: "Go on only where all is well" }
  ])
)

const simulate = Command.make("simulate", {
  file: Flag.String("file").pipe(
    Flag.withAlias("f"),
    Flag.withMetavar("file"),
    Flag.withDescription("YAML or JSON file of it all, in place of the other flags"),
    Flag.optional
  ),
  deployments: Flag.String("deployments").pipe(
    Flag.withMetavar("list"),
    Flag.withDescription("name or name=model, with commas (default: gpt-4o)"),
    Flag.optional
  ),
  resources: Flag.Int("resources").pipe(
    Flag.withMetavar("number"),
    Flag.withDescription("How many resources (default: 1)"),
    Flag.filter((count) => count >= 1 && count <= 1_000, () => "a number from 1 to 1000"),
    Flag.optional
  ),
  port: Flags.port.pipe(
    Flag.withDescription("First port; the others follow; 0 for any (default: 5001)"),
    Flag.optional
  ),
  tpm: Flags.aboveZero("tpm").pipe(
    Flag.withDescription("Tokens a minute of each deployment (default: no limit)"),
    Flag.optional
  ),
  rpm: Flags.aboveZero("rpm").pipe(
    Flag.withDescription("Requests a minute of each deployment (default: no limit)"),
    Flag.optional
  ),
  printConfig: Flag.Boolean("print-config").pipe(
    Flag.withDescription("Print nothing but a configuration of Evenkeel for it"),
    Flag.withDefault(false)
  )
}, runs(() => import("./Simulate.ts"))).pipe(
  Command.withDescription("Simulates Azure OpenAI and OpenAI, with quotas and faults"),
  Command.withExamples([
    {
      command: "evenkeel simulate --resources 3 --deployments gpt-4o,gpt-4o-mini --tpm 30000",
      description: "Three resources, at ports 5001 to 5003"
    },
    {
      command: "evenkeel simulate --print-config > evenkeel.yaml",
      description: "And, in another terminal: evenkeel serve --config evenkeel.yaml"
    }
  ])
)

const init = Command.make("init", {
  output: Flag.String("output").pipe(
    Flag.withAlias("o"),
    Flag.withMetavar("file"),
    Flag.withDescription("File to write (default: evenkeel.yaml)"),
    Flag.withDefault("evenkeel.yaml")
  ),
  yes: Flag.Boolean("yes").pipe(
    Flag.withAlias("y"),
    Flag.withDescription("Ask nothing: write what the environment says"),
    Flag.withDefault(false)
  ),
  force: Flag.Boolean("force").pipe(
    Flag.withDescription("Overwrite the file"),
    Flag.withDefault(false)
  )
}, runs(() => import("./Init.ts"))).pipe(
  Command.withDescription("Writes a first configuration: asks, or reads the environment"),
  Command.withExamples([
    { command: "evenkeel init", description: "Ask, and write evenkeel.yaml" },
    {
      command: "evenkeel init --yes --output config/evenkeel.yaml",
      description: "From the variables of Azure OpenAI, or OPENAI_API_KEY"
    }
  ])
)

const key = Command.make("key", { json: Flags.json }, runs(() => import("./Key.ts"))).pipe(
  Command.withDescription("Makes a key for the gateway, and its hash for the configuration"),
  Command.withExamples([
    { command: "evenkeel key", description: "Print a key, and what to write into the configuration" }
  ])
)

const top = Command.make("top", {
  url: Flag.String("url").pipe(
    Flag.withMetavar("url"),
    Flag.withDescription("Of the gateway, or of its operators' port (default: http://127.0.0.1:4000)"),
    Flag.withDefault("http://127.0.0.1:4000")
  ),
  key: Flag.Redacted("key").pipe(
    Flag.withMetavar("key"),
    Flag.withDescription("An operator's key, where the gateway has keys; EVENKEEL_KEY is seen by fewer"),
    Flag.withFallbackConfig(Config.Redacted("EVENKEEL_KEY")),
    Flag.optional
  ),
  once: Flag.Boolean("once").pipe(
    Flag.withDescription("Print it once, as where there is no terminal"),
    Flag.withDefault(false)
  ),
  json: Flags.json
}, runs(() => import("./Top.ts"))).pipe(
  Command.withDescription("Shows a running gateway: how its deployments are, what changed"),
  Command.withExamples([
    { command: "evenkeel top", description: "The gateway at 127.0.0.1:4000, live" },
    { command: "evenkeel top --url http://10.0.0.4:4000 --once", description: "Another, once" }
  ])
)

/** All of it. */
export const evenkeel = Command.make("evenkeel").pipe(
  Command.withDescription("Spreads requests to Azure OpenAI and OpenAI over many deployments"),
  Command.withSubcommands([init, check, serve, top, key, simulate])
)
