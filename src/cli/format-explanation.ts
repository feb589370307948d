import type { Explanation, ExplainedNar } from '../admin/explanation.ts'
import { sourceWords } from '../admin/explanation-words.ts'
import { formatTable, indent, wrap } from './columns.ts'
import { formatServed } from './format-recall.ts'
import { describeRule } from './describe-rule.ts'
import { formatUpstreams } from './format-upstreams.ts'
import { isoTime, mebibytes } from './words.ts'

const columns = 96

/** An explanation for people, in blocks: the verdict first. */
export function formatExplanation(explanation: Explanation, headline: string | null): string {
  const { path, rule, upstreams, stored, refusedReferences, served, events, source } = explanation
  const blocks = [
    headline === null ? '' : paragraph(headline),
    verdict(explanation),
    section('Rule', path === null ? 'nobody says what its name is\n' : describeRule(rule)),
    section(`Upstreams, ${asked(source)}`, formatUpstreams(upstreams, rule?.name ?? null)),
    section('Stored', stored.length === 0 ? 'nothing\n' : formatStored(stored)),
    section('References that would be refused', formatReferences(refusedReferences)),
    section('Given to', served.length === 0 ? 'nobody\n' : formatServed(served)),
    section(
      'Events',
      events
        .map(({ kind, detail, lastMs }) => paragraph(`${isoTime(lastMs)} ${kind}: ${detail}`))
        .join(''),
    ),
  ]
  return blocks.filter((block) => block !== '').join('\n')
}

function asked(source: Explanation['source']): string {
  const isOld = source === 'stored' || source === 'nothing'
  return isOld ? `${sourceWords[source]}; --live asks them now` : sourceWords[source]
}

function verdict(explanation: Explanation): string {
  const { hash, path, verdict: decided, reason, policy, wouldRefuse } = explanation
  const notes = [
    `${policy.enforce ? 'policy' : 'report-only policy'}, epoch ${policy.epoch}`,
    ...(wouldRefuse === null ? [] : [`enforced, it would be refused: ${wouldRefuse}`]),
  ]
  return [
    `${path ?? hash}\n`,
    indent(paragraph(`${decided.toUpperCase()}: ${reason}`), 2),
    ...notes.map((note) => indent(paragraph(note), 2)),
  ].join('')
}

function section(title: string, body: string): string {
  return body === '' ? '' : `${title}\n${indent(body, 2)}`
}

function paragraph(text: string): string {
  return wrap(text, columns)
    .map((line) => `${line}\n`)
    .join('')
}

function formatStored(stored: readonly ExplainedNar[]): string {
  const head = ['NAR', 'FROM', 'FILE', 'SINCE', 'NOW']
  const rows = stored.map(({ narHash, upstream, witnesses, fileBytes, storedAtMs, isTrusted }) => [
    shortHash(narHash),
    [upstream, ...witnesses.filter((name) => name !== upstream)].join(', '),
    mebibytes(fileBytes),
    isoTime(storedAtMs),
    isTrusted ? 'trusted' : 'refused',
  ])
  return formatTable({ head, rows })
}

function formatReferences(references: Explanation['refusedReferences']): string {
  return references.map(({ path, reason }) => paragraph(`${path}: ${reason}`)).join('')
}

/** Enough of a hash to tell it from others. */
function shortHash(hash: string): string {
  return `${hash.slice(0, 'sha256:'.length + 12)}…`
}
