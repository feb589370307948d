/** What every line has, and what the log adds by itself. */
const ownFields = new Set(['event', 'level', 'time'])

/** A logged event for people: its name, then its facts; lists and stacks stand below, a line each. */
export function readableEvent(entry: Readonly<Record<string, unknown>>): string {
  const facts = Object.entries(entry).filter(([name]) => !ownFields.has(name))
  const inline = facts
    .filter(([, value]) => !isBelow(value))
    .map(([name, value]) => `${name}=${show(value)}`)
  const below = facts.flatMap(([name, value]) =>
    isBelow(value) ? [`  ${name}:`, ...lines(value)] : [],
  )
  const event = typeof entry['event'] === 'string' ? entry['event'] : ''
  return [[event, ...inline].join(' '), ...below].join('\n')
}

type Below = readonly string[] | { readonly stack: string }

function isBelow(value: unknown): value is Below {
  if (Array.isArray(value)) return value.every((part) => typeof part === 'string')
  return (
    typeof value === 'object' &&
    value !== null &&
    'stack' in value &&
    typeof value.stack === 'string'
  )
}

function lines(value: Below): readonly string[] {
  const texts = 'stack' in value ? value.stack.split('\n') : value
  return texts.map((text) => `    ${text}`)
}

function show(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value)
}
