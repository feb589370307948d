import { formatTable, indent, wrap } from './columns.ts'
import type { PlainPolicy } from '../admin/plain-policy.ts'
import { count } from './words.ts'

/** A policy for people: the rules in the order in which they are tried, then what they rest on. */
export function formatPolicy(
  policy: PlainPolicy,
  { isVerbose }: { readonly isVerbose: boolean },
): string {
  const { enforce, unmatched, epoch, suspended } = policy
  const otherwise = unmatched === 'allow' ? 'allowed, by keys of its own upstream' : 'refused'
  const mode = enforce
    ? 'enforced'
    : 'report only: what the rules would refuse is served, and counted'
  return [
    `Rules: the first that matches a name decides\n${indent(formatRules(policy), 2)}`,
    `  what none matches is ${otherwise}\n`,
    `\nUpstreams, the most preferred first\n${indent(formatUpstreams(policy), 2)}`,
    `\nRecalled\n${indent(formatBlocks(policy), 2)}`,
    `\nSuspended: ${suspended.length === 0 ? 'none' : suspended.join(', ')}\n`,
    `Mode: ${mode}\nEpoch: ${epoch}\n`,
    formatSets(policy, { isVerbose }),
  ].join('')
}

function formatRules({ rules }: PlainPolicy): string {
  if (rules.length === 0) return 'none\n'
  const rows = rules.map((rule) => [
    String(rule.number),
    rule.name,
    [...rule.packages, ...rule.paths].join(' '),
    rule.from?.join(', ') ?? 'any',
    rule.signed_by?.join(', ') ?? 'own keys',
    rule.agree === 1 ? '' : String(rule.agree),
    rule.on_divergence,
  ])
  const head = ['#', 'RULE', 'FOR', 'FROM', 'SIGNED BY', 'AGREE', 'DIFFER']
  return formatTable({ head, rows, widths: [null, 28, 18, 12, 18] })
}

function formatUpstreams({ upstreams }: PlainPolicy): string {
  const rows = upstreams.map(({ name, tier, keys, suspended, ...upstream }) => [
    name,
    String(tier),
    [
      ...(upstream.private ? ['private'] : []),
      ...(upstream.optional ? ['optional'] : []),
      ...(upstream.insecure_unsigned ? ['INSECURE'] : []),
      ...(suspended ? ['SUSPENDED'] : []),
    ].join(' '),
    keys.map((key) => key.slice(0, key.indexOf(':'))).join(', ') || 'none: content-addressed only',
  ])
  return formatTable({ head: ['NAME', 'TIER', 'IS', 'KEYS'], rows, widths: [null, null, null, 50] })
}

function formatBlocks({ blocks }: PlainPolicy): string {
  if (blocks.length === 0) return 'nothing\n'
  const rows = blocks.map(({ blocked, by, reason }) => [blocked, by, reason])
  return formatTable({ head: ['WHAT', 'BY', 'REASON'], rows, widths: [null, null, 42] })
}

/** The packages of the sets that rules name: all of them, or how to see them. */
function formatSets(
  { rules, sets }: PlainPolicy,
  { isVerbose }: { readonly isVerbose: boolean },
): string {
  return Object.entries(sets)
    .filter(([set]) => rules.some(({ packages }) => packages.includes(set)))
    .map(([set, members]) =>
      isVerbose
        ? `\n${set}\n${indent(wrap(members.join(' '), 90).join('\n'), 2)}\n`
        : `${set}: ${count(members.length, 'package')}; --verbose lists them\n`,
    )
    .join('')
}
