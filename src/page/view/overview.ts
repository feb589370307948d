import type { Overview, Totals, UpstreamOverview } from '../../activity/activity.ts'
import { html, type Html } from './html.ts'
import { bytes, mark, nothing, table } from './parts.ts'
import { formatBytes, formatCount, formatMs, formatNumber, formatRatio } from './units.ts'

/** What somebody should know first: that all is well, or what is not. */
export function headline(overview: Overview): Html {
  const troubles = troublesOf(overview)
  if (troubles.length > 0) {
    return html`<ul class="headline">
      ${troubles.map((trouble) => html`<li>${mark('warn', trouble)}</li>`)}
    </ul>`
  }
  const asked = formatCount(overview.upstreams.length, 'upstream')
  return html`<p class="headline">
    ${mark('good', `All is well: ${asked} in use, and what comes is kept.`)}
  </p>`
}

function troublesOf({ network, cache, upstreams, policy }: Overview): readonly string[] {
  return [
    ...(network === 'offline' ? ['Offline: no upstream is asked, what is stored is served.'] : []),
    ...(network === 'all-down' ? ['No upstream answers: what is stored is served.'] : []),
    ...(cache.isStoring ? [] : ['NARs are handed on, but not kept: the cache cannot be written.']),
    ...upstreams.flatMap(({ name, suspended, circuit }) => {
      if (suspended !== null) return [`${name} is suspended: ${suspended}`]
      return circuit === 'closed' || network !== 'online' ? [] : [`${name} does not answer.`]
    }),
    ...(policy.enforce ? [] : ['The policy only reports: what it would refuse is served.']),
  ]
}

/** The figures that say whether Weir helps. */
export function tiles({ totals, cache, policy }: Overview): Html {
  const { bytes: used, limitBytes, freeBytes, nars } = cache
  return html`<dl class="tiles">
    ${ratioTile('NARs from the store', totals.nars, 'NAR')}
    ${ratioTile('Narinfos from the store', totals.narinfos, 'narinfo')}
    ${tile('Sent', bytes(totals.sentBytes), 'to clients, since the start')}
    ${tile('Fetched', bytes(totals.fetchedBytes), 'from upstreams, since the start')}
    ${tile(
      'Disk',
      bytes(used),
      html`<meter aria-label="Disk in use" min="0" max="${limitBytes}" value="${used}"></meter> of
        ${bytes(limitBytes)},
        ${formatCount(nars, 'NAR')}${freeBytes === null ? null : html`; ${bytes(freeBytes)} free`}`,
    )}
    ${tile(
      'Policy',
      policy.enforce ? 'enforced' : 'report only',
      html`<a href="/policy"
        >${formatCount(policy.rules, 'rule')}, ${formatCount(policy.blocks, 'recall')}</a
      >`,
    )}
  </dl>`
}

function ratioTile(title: string, counts: Totals['nars'], noun: string): Html {
  const all = counts.hit + counts.miss
  if (all === 0) return tile(title, '–', `no ${noun} was given yet`)
  const note = `${formatNumber(counts.hit)} of ${formatCount(all, noun)}`
  const refused = counts.refused === 0 ? '' : `; ${formatNumber(counts.refused)} refused`
  return tile(title, formatRatio(counts.hit / all), note + refused)
}

function tile(title: string, value: string | Html, note: string | Html): Html {
  return html`<div class="tile">
    <dt>${title}</dt>
    <dd>
      <span class="value">${value}</span>
      <span class="note">${note}</span>
    </dd>
  </div>`
}

/** The upstreams with their state, the most preferred first. */
export function upstreamsTable(upstreams: readonly UpstreamOverview[]): Html {
  if (upstreams.length === 0) return nothing('No upstream is configured.')
  const columns = [
    { title: 'Upstream' },
    { title: 'State' },
    { title: 'Asked', isNumber: true },
    { title: 'Could not tell', isNumber: true },
    { title: 'Median', isNumber: true },
    { title: '95 %', isNumber: true },
    { title: 'Fetched', isNumber: true },
  ]
  return table('Upstreams, the most preferred first', columns, upstreams.map(upstreamRow))
}

function upstreamRow(upstream: UpstreamOverview): Html {
  const { name, url, requests, errors, medianMs, p95Ms, fetchedBytes } = upstream
  return html`<tr>
    <th scope="row">${name} <span class="url">${url}</span></th>
    <td>${upstreamState(upstream)}</td>
    <td class="number">${formatNumber(requests)}</td>
    <td class="number">${formatNumber(errors)}</td>
    <td class="number">${medianMs === null ? '–' : formatMs(medianMs)}</td>
    <td class="number">${p95Ms === null ? '–' : formatMs(p95Ms)}</td>
    <td class="number" title="${formatNumber(fetchedBytes)} bytes">${formatBytes(fetchedBytes)}</td>
  </tr>`
}

function upstreamState({ suspended, circuit }: UpstreamOverview): Html {
  if (suspended !== null) return mark('bad', 'suspended')
  switch (circuit) {
    case 'closed':
      return mark('good', 'in use')
    case 'open':
      return mark('warn', 'not asked just now')
    case 'probing':
      return mark('warn', 'being tried')
  }
}
