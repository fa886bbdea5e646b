#!/usr/bin/env node
/**
 * Entry of the command `evenkeel-otel`.
 */
import process from "node:process"
import { run } from "./Cli.ts"

const { code, error, out } = run(process.argv.slice(2))
process.stdout.write(out)
process.stderr.write(error)
// the rest of a long text goes through a pipe before it ends by itself
process.exitCode = code
