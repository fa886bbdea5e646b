#!/usr/bin/env node
/**
 * Entry of the command `evenkeel`.
 */
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { evenkeel } from "./cli/Evenkeel.ts"
import { version } from "./cli/Version.ts"

const services = NodeChildProcessSpawner.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)),
  Layer.merge(Layer.mergeAll(NodeStdio.layer, NodeTerminal.layer))
)

/** With the code that a command has set, else by how it ended. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(Number(process.exitCode ?? code)))

Command.run(evenkeel, { version }).pipe(Effect.provide(services), NodeRuntime.runMain({ teardown }))
