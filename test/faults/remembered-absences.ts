import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { NixClient } from '../lab/nix-client.ts'

/** How many paths a client remembers as absent from its substituters. */
export function rememberedAbsences({ env }: NixClient): number {
  const file = join(env['XDG_CACHE_HOME'] ?? '', 'nix', 'binary-cache-v6.sqlite')
  if (!existsSync(file)) return 0
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database.prepare('SELECT hashPart FROM NARs WHERE present = 0').all().length
  } finally {
    database.close()
  }
}
