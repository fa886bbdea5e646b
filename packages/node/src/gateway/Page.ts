/**
 * The page that people look at: HTML, a style and its scripts, given out as they are. They hold no data.
 */
import { readFileSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { fileAt } from "../OwnPackage.ts"
import * as Refusals from "./Refusals.ts"

const files: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["page.html", "text/html"],
  "/page/page.css": ["page.css", "text/css"],
  "/page/page.js": ["page.js", "text/javascript"],
  "/page/view.js": ["view.js", "text/javascript"],
  "/page/figures.js": ["figures.js", "text/javascript"],
  "/page/elements.js": ["elements.js", "text/javascript"],
  "/page/model.js": ["model.js", "text/javascript"]
}

/** Nothing but what comes from here, nothing inline, in no other page's frame; and no text that becomes markup. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
].join("; ")

const read = new Map<string, Buffer>()

/** Whether it is of the page. */
export const has = (path: string): boolean => Object.hasOwn(files, path)

/** Answers with a part of the page. */
export const give = (response: ServerResponse, path: string): void => {
  const [file, type] = files[path]!
  let body = read.get(file)
  try {
    body ??= readFileSync(fileAt(`src/gateway/page/${file}`))
  } catch {
    // of a program that was bundled
    return Refusals.answer(response, Refusals.noSuchPath)
  }
  read.set(file, body)
  response.writeHead(200, {
    "content-type": `${type}; charset=utf-8`,
    "content-length": String(body.length),
    "content-security-policy": policy,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache"
  })
  response.end(response.req.method === "HEAD" ? undefined : body)
}
