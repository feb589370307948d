/**
 * nix-cache-info, the first thing a client asks a cache for.
 *
 *   StoreDir: /nix/store      missing: /nix/store
 *   WantMassQuery: 1          anything but 1: false
 *   Priority: 40              0 – 2³¹−1, lower wins; missing: 0
 *
 * Lines of `Key: value`, white space around the value ignored, the last of two equal keys wins, blank lines and unknown keys
 * ignored. Stricter than clients: a line without a colon (a captive portal's page, say) or a priority that is no number makes the
 * whole unreadable. Unknown keys are never written: some of them change which paths a client asks for at all.
 */

/** What a cache says about itself; `priority` is a whole number, lower is preferred. */
export type CacheInfo = {
  readonly storeDir: string
  readonly wantMassQuery: boolean
  readonly priority: number
}

/** The longest nix-cache-info that is read, in characters. */
export const maxCacheInfoLength = 65_536

const maxPriority = 2 ** 31 - 1

/** The content of a nix-cache-info file, or null where it is too long or not one. */
export function parseCacheInfo(text: string): CacheInfo | null {
  if (text.length > maxCacheInfoLength) return null
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const colon = line.indexOf(':')
    if (colon === -1) return null
    fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const priority = fields.get('Priority') ?? '0'
  if (!/^[0-9]{1,10}$/.test(priority) || Number(priority) > maxPriority) return null
  return {
    storeDir: fields.get('StoreDir') ?? '/nix/store',
    wantMassQuery: fields.get('WantMassQuery') === '1',
    priority: Number(priority),
  }
}

/** The text of a nix-cache-info file, with all three keys and no other. */
export function formatCacheInfo(info: CacheInfo): string {
  const wantMassQuery = info.wantMassQuery ? '1' : '0'
  return `StoreDir: ${info.storeDir}\nWantMassQuery: ${wantMassQuery}\nPriority: ${info.priority}\n`
}
