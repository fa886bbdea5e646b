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
import { evenkeel } from "./cli/Evenkeel.ts"
import { endWith, teardown } from "./cli/Exit.ts"
import * as Help from "./cli/Help.ts"
import { version } from "./OwnPackage.ts"

const services = NodeChildProcessSpawner.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)),
  Layer.merge(Layer.mergeAll(NodeStdio.layer, NodeTerminal.layer, Help.layer))
)

Command.run(evenkeel, { version: version() }).pipe(
  // what is wrong was told, with the help
  Effect.catchTag("ShowHelp", ({ errors }) => endWith(errors.length > 0 ? 2 : 0)),
  Effect.provide(services),
  NodeRuntime.runMain({ teardown })
)
