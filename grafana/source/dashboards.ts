import type { Dashboard } from './dashboard.ts'
import { overview } from './overview.ts'
import { store } from './store.ts'
import { trust } from './trust.ts'
import { upstreams } from './upstreams.ts'

/** All dashboards, in the order of reading. */
export const dashboards: readonly Dashboard[] = [overview, upstreams, trust, store]

/** The text of a dashboard's file. */
export function formatDashboard({ json }: Dashboard): string {
  return `${JSON.stringify(json, null, 2)}\n`
}
