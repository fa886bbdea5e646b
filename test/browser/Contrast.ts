/**
 * Whether the text of a page can be read: the contrast of each against what is behind it, by WCAG's formula.
 */
import type { Page } from "playwright-core"

/** Texts whose contrast is below 4.5, with what it is. */
export const faintTexts = (page: Page): Promise<ReadonlyArray<string>> =>
  // what runs in the page brings its own functions
  /* oxlint-disable unicorn/consistent-function-scoping */
  page.evaluate(() => {
    type Color = readonly [red: number, green: number, blue: number, alpha: number]
    const parse = (text: string): Color => {
      const [red = 0, green = 0, blue = 0, alpha = 1] = (text.match(/[\d.]+/g) ?? []).map(Number)
      return [red, green, blue, alpha]
    }
    const over = (top: Color, below: Color): Color => {
      const mix = (i: 0 | 1 | 2) => top[i] * top[3] + below[i] * (1 - top[3])
      return [mix(0), mix(1), mix(2), 1]
    }
    const luminance = ([red, green, blue]: Color) => {
      const [r, g, b] = [red, green, blue].map((channel) => {
        const share = channel / 255
        return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      }) as [number, number, number]
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const groundOf = (element: Element | null): Color =>
      element === null
        ? [255, 255, 255, 1]
        : over(parse(getComputedStyle(element).backgroundColor), groundOf(element.parentElement))
    const faint: Array<string> = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement!
      const text = walker.currentNode.textContent!.trim()
      if (text === "" || !element.checkVisibility() || element.closest(".unseen, .skip, noscript") !== null) continue
      const ground = groundOf(element)
      const ink = over(parse(getComputedStyle(element).color), ground)
      const [low, high] = [luminance(ink), luminance(ground)].toSorted((a, b) => a - b) as [number, number]
      const contrast = (high + 0.05) / (low + 0.05)
      if (contrast < 4.5) faint.push(`${text}: ${contrast.toFixed(2)}`)
    }
    return faint
  })
