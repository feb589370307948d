import type { Activity } from '../activity/activity.ts'
import type { Admin } from '../admin/admin.ts'
import type { PlainPolicy } from '../admin/plain-policy.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import { type Asset, type Assets, readAssets } from './assets.ts'
import { lockedPage } from './locked-page.ts'
import { layout, type Section } from './layout.ts'
import { pathPage } from './path-page.ts'
import { policyPage } from './policy-page.ts'
import { pathsPerPage, searchPage } from './search-page.ts'
import { statusPage } from './status-page.ts'
import type { Html } from './view/html.ts'

export type PagesDeps = {
  readonly activity: Activity
  readonly admin: Pick<Admin, 'explain'>
  /** The policy of now. */
  readonly plainPolicy: () => PlainPolicy
  readonly version: string
  readonly clock: { nowMs(): number }
}

/** Who asks for a page. */
export type Visitor = {
  /** What was asked: `http://weir:8484`. */
  readonly origin: string
  /** The client's address. */
  readonly client: string
  /** Whether the admin token came along. */
  readonly isAdmin: boolean
}

/** The pages for people, as whole documents. */
export type Pages = {
  status(visitor: Visitor): Promise<string>
  search(text: string, after: string | null, visitor: Visitor, signal: AbortSignal): Promise<string>
  /** `live` asks the upstreams now. */
  path(hash: StorePathHash, options: { readonly live: boolean }, visitor: Visitor): Promise<string>
  policy(): Promise<string>
  /** What stands where a page needs the admin token. */
  locked(): Promise<string>
  /** An asset by its whole address; `null` where there is none. */
  asset(address: string): Promise<Asset | null>
}

export function createPages(deps: PagesDeps): Pages {
  const { activity, admin, version, clock } = deps
  let reading: Promise<Assets> | null = null
  const assets = (): Promise<Assets> => {
    reading ??= readAssets().catch((error: unknown) => {
      // Whoever comes next may find them readable.
      reading = null
      throw error
    })
    return reading
  }
  const page = async (section: Section | null, title: string, main: Html, text = '') =>
    layout({ section, title, main, text, version, assets: (await assets()).folder })
  return {
    status: (visitor) => page('status', 'Status', statusPage(activity, visitor)),
    async search(text, after, { client }, signal) {
      const found = await activity.paths({ text, after, limit: pathsPerPage }, signal, client)
      const main = searchPage(found, { text, after, nowMs: clock.nowMs() })
      return page('search', text === '' ? 'Stored paths' : text, main, text)
    },
    async path(hash, { live }, { client, isAdmin }) {
      const to = isAdmin ? ('all' as const) : { client }
      const explanation = await admin.explain(hash, { live, to })
      const main = pathPage(explanation, { nowMs: clock.nowMs(), isAdmin })
      return page(null, explanation.path?.slice(hash.length + 1) ?? hash, main, '')
    },
    policy: () => page('policy', 'Policy', policyPage(deps.plainPolicy())),
    locked: () => page(null, 'Locked', lockedPage()),
    async asset(address) {
      const { folder, files } = await assets()
      return address.startsWith(folder) ? (files.get(address.slice(folder.length)) ?? null) : null
    },
  }
}
