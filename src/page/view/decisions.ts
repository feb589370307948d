import type { Decision } from '../../activity/activity.ts'
import type { AnswerResult } from '../../ports/http-meter.ts'
import { html, type Html } from './html.ts'
import { mark, nothing, pathLink, type Sight, table, time, type Tone } from './parts.ts'

/** So many of the latest decisions are shown. */
export const shownDecisions = 20

const answers: Readonly<Record<AnswerResult, { readonly tone: Tone; readonly word: string }>> = {
  hit: { tone: 'good', word: 'from the store' },
  miss: { tone: 'good', word: 'from upstream' },
  refused: { tone: 'bad', word: 'refused' },
  absent: { tone: 'plain', word: 'not there' },
  error: { tone: 'warn', word: 'could not tell' },
}

/** How clients were answered lately, the latest first. */
export function decisionsTable(decisions: readonly Decision[], sight: Sight): Html {
  if (decisions.length === 0) return nothing('Nobody has asked for a path yet.')
  const columns = [
    ...['When', 'Answer', 'Path', 'What', 'Upstream', 'Rule and reason'],
    ...(sight.isAdmin ? ['Client'] : []),
  ].map((title) => ({ title }))
  return table(
    'How clients were answered lately',
    columns,
    decisions.map((decision) => row(decision, sight)),
  )
}

function row(
  { atMs, object, result, hash, path, upstream, rule, reason, client }: Decision,
  { nowMs, isAdmin }: Sight,
): Html {
  const { tone, word } = answers[result]
  const isReported = reason !== null && (result === 'hit' || result === 'miss')
  return html`<tr>
    <td>${time(atMs, nowMs)}</td>
    <td>${mark(tone, word)}</td>
    <td>${pathLink(hash, path)}</td>
    <td>${object === 'nar' ? 'NAR' : 'narinfo'}</td>
    <td>${upstream ?? ''}</td>
    <td>
      ${rule === null ? null : html`<span class="rule">${rule}</span>`}
      ${
        reason === null
          ? null
          : html`<span class="reason">${isReported ? 'enforced, refused: ' : ''}${reason}</span>`
      }
    </td>
    ${isAdmin ? html`<td>${client ?? ''}</td>` : null}
  </tr>`
}
