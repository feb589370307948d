import type { RunningNar } from '../../activity/activity.ts'
import { html, type Html } from './html.ts'
import { bytes, nothing, pathLink, type Sight, table } from './parts.ts'
import { formatBytes, formatCount, formatSpan } from './units.ts'

/** The NARs on their way in: how far, how fast, and who waits. */
export function transfersTable(transfers: readonly RunningNar[], sight: Sight): Html {
  if (transfers.length === 0) return nothing('No NAR is on its way.')
  const columns = [
    { title: 'Path' },
    { title: 'From' },
    { title: 'Come so far' },
    { title: 'Speed', isNumber: true },
    { title: 'Running for', isNumber: true },
    { title: 'Clients', isNumber: !sight.isAdmin },
  ]
  return table(
    'NARs on their way in',
    columns,
    transfers.map((transfer) => row(transfer, sight)),
  )
}

function row(transfer: RunningNar, { nowMs, isAdmin }: Sight): Html {
  const { hash, path, upstream, startedMs, bytesPerSecond, readers, clients = [] } = transfer
  return html`<tr>
    <td>${pathLink(hash, path)}</td>
    <td>${upstream}</td>
    <td class="progress">${progress(transfer)}</td>
    <td class="number">${formatBytes(bytesPerSecond)}/s</td>
    <td class="number">${formatSpan(nowMs - startedMs)}</td>
    ${
      isAdmin
        ? html`<td class="clients">${clients.length === 0 ? 'none' : clients.join(', ')}</td>`
        : html`<td class="number">${formatCount(readers, 'client')}</td>`
    }
  </tr>`
}

function progress({ path, fetchedBytes, expectedBytes }: RunningNar): Html {
  if (expectedBytes === null || expectedBytes === 0) return html`${bytes(fetchedBytes)}`
  return html`<progress
      aria-label="Of ${path}"
      max="${expectedBytes}"
      value="${Math.min(fetchedBytes, expectedBytes)}"
    ></progress>
    ${bytes(fetchedBytes)} of ${bytes(expectedBytes)}`
}
