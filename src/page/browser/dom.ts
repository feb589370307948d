import { type Html, markup } from '../view/html.ts'
import { formatAge } from '../view/units.ts'

/** The element with this id, where the page has one of that kind. */
export function find<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind | null {
  const element = document.getElementById(id)
  return element instanceof kind ? element : null
}

/** Says something where it is read out; the same again is not. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Shows markup in an element, unless somebody is at work in it: what has the focus, or is selected, stays. */
export function show(element: HTMLElement, content: Html): void {
  if (isInUse(element)) return
  const scrolled = element.querySelector('.scroll')?.scrollLeft ?? 0
  element.innerHTML = markup(content)
  const scroller = element.querySelector('.scroll')
  if (scroller !== null) scroller.scrollLeft = scrolled
}

function isInUse(element: HTMLElement): boolean {
  if (element.contains(document.activeElement)) return true
  const selection = document.getSelection()
  return selection !== null && !selection.isCollapsed && selection.containsNode(element, true)
}

/** Brings all ages up to date: what somebody is at work in shows its own. */
export function refreshAges(nowMs: number): void {
  for (const element of document.querySelectorAll('time')) {
    say(element, formatAge(Date.parse(element.dateTime), nowMs))
  }
}
