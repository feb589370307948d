/** Keeps the status page up to date, while somebody sees it. */
import type { Decision, Overview, Traffic } from '../../activity/activity.ts'
import { decisionsTable, shownDecisions } from '../view/decisions.ts'
import type { Html } from '../view/html.ts'
import { headline, tiles, upstreamsTable } from '../view/overview.ts'
import { transfersTable } from '../view/transfers.ts'
import { formatSpan } from '../view/units.ts'
import { AskError, askDecisions, askOverview, askTraffic, askTransfers } from './ask.ts'
import { createCharts } from './charts.ts'
import { find, refreshAges, say, show } from './dom.ts'
import { heldToken, refuseToken } from './token.ts'

const everyMs = 2000

/** What was seen last, so that only what is new is asked for. */
type Seen = {
  readonly startedMs: number
  readonly decisions: readonly Decision[]
  readonly traffic: Traffic
}

/** What the status page can be told. */
export type Live = {
  /** Asks for everything anew: what is shown depends on the token. */
  readonly restart: () => void
}

/** Begins to ask every two seconds; stops while the page is hidden or paused. `null` where this is not the status page. */
export function keepLive(): Live | null {
  const says = find('live', HTMLElement)
  const pause = find('pause', HTMLButtonElement)
  const plots = find('plots', HTMLElement)
  const charts = find('charts', HTMLElement)
  if (says === null || pause === null || plots === null || charts === null) return null
  for (const element of [says, pause, charts]) element.hidden = false
  const drawn = createCharts(plots)
  let seen: Seen | null = null
  let asking: AbortController | null = null
  const turn = async (signal: AbortSignal): Promise<void> => {
    try {
      seen = await look(seen, signal)
      drawn.draw(seen.traffic)
      say(says, 'Live')
    } catch (error) {
      // Whatever is wrong, the page stays as it is, and says so.
      if (!signal.aborted) say(says, trouble(error))
    }
  }
  const run = async ({ signal }: AbortController): Promise<void> => {
    while (!signal.aborted) {
      await turn(signal)
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }
  const stop = (): void => {
    asking?.abort()
    asking = null
  }
  const follow = (): void => {
    const isPaused = pause.getAttribute('aria-pressed') === 'true'
    if (isPaused) say(says, 'Paused')
    if (isPaused || document.hidden) stop()
    else if (asking === null) void run((asking = new AbortController()))
  }
  pause.addEventListener('click', () => {
    pause.setAttribute('aria-pressed', String(pause.getAttribute('aria-pressed') !== 'true'))
    follow()
  })
  document.addEventListener('visibilitychange', follow)
  follow()
  return {
    restart() {
      stop()
      seen = null
      follow()
    },
  }
}

function trouble(error: unknown): string {
  const isRefused = error instanceof AskError && error.code === 'refused'
  if (isRefused && heldToken() !== null) refuseToken()
  return isRefused ? 'The token was refused.' : 'Weir does not answer. Asking again.'
}

async function look(seen: Seen | null, signal: AbortSignal): Promise<Seen> {
  const [overview, transfers] = await Promise.all([askOverview(signal), askTransfers(signal)])
  const { nowMs, startedMs, upstreams } = overview
  // A Weir that was started again counts from one.
  const earlier = seen?.startedMs === startedMs ? seen : null
  const after = earlier?.decisions[0]?.id ?? 0
  const [fresh, traffic] = await Promise.all([
    askDecisions({ after, limit: shownDecisions }, signal),
    isDue(earlier, nowMs) ? askTraffic(signal) : earlier.traffic,
  ])
  const sight = { nowMs, isAdmin: heldToken() !== null }
  const decisions = [...fresh, ...(earlier?.decisions ?? [])].slice(0, shownDecisions)
  showPart('headline', headline(overview))
  showPart('tiles', tiles(overview))
  showPart('upstreams', upstreamsTable(upstreams))
  showPart('transfers', transfersTable(transfers, sight))
  showPart('decisions', decisionsTable(decisions, sight))
  showRunning(overview)
  refreshAges(nowMs)
  return { startedMs, decisions, traffic }
}

function isDue(earlier: Seen | null, nowMs: number): earlier is null {
  if (earlier === null) return true
  const { timesMs, stepMs } = earlier.traffic
  return nowMs >= (timesMs.at(-1) ?? 0) + stepMs
}

function showPart(name: string, content: Html): void {
  const element = document.querySelector<HTMLElement>(`[data-live="${name}"]`)
  if (element !== null) show(element, content)
}

function showRunning({ nowMs, startedMs }: Overview): void {
  const running = find('running', HTMLElement)
  if (running !== null) say(running, `Running for ${formatSpan(nowMs - startedMs)}`)
}
