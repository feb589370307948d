import type { KeyObject } from 'node:crypto'
import { isSameFile } from '../nix/nar-key.ts'
import type { Catalog, StoredClaim, UnmeasuredNar } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { withRecord } from '../store/sealed-record.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'

export type SealedKeeperDeps = {
  readonly catalog: Pick<Catalog, 'find'>
  readonly store: Pick<NarStore, 'redescribe'>
  /** What records are sealed with. */
  readonly recordKey: KeyObject
  readonly log: Log
}

/**
 * A keeper that writes each record into its narinfo as well, so that the catalog can be made again. A record that is confirmed later is
 * written there again where other claims stand behind it than before, not where only the time or the policy is another: what is then
 * lost with the catalog is that the upstreams need not be asked again.
 */
export function sealedKeeper(keeper: StoreKeeper, deps: SealedKeeperDeps): StoreKeeper {
  const { catalog, store, recordKey, log } = deps
  const writing = new Set<Promise<void>>()

  /* Nobody waits for it: a line that is missed costs a question to the upstreams, once the catalog is lost. */
  const reseal = (stored: UnmeasuredNar): void => {
    const written = keeper
      .inTurn(stored.key.storePathHash, () =>
        store.redescribe(stored.key, (narinfo) => withRecord(narinfo, stored, recordKey)),
      )
      .then(
        () => undefined,
        (error: unknown) => {
          log.error({ event: 'record.not-sealed', nar: stored.key, err: error })
        },
      )
      .finally(() => {
        writing.delete(written)
      })
    writing.add(written)
  }
  return {
    ...keeper,
    keep: (staged, stored, narinfo) =>
      keeper.keep(staged, stored, withRecord(narinfo, stored, recordKey)),
    async adopt(stored) {
      const records = await catalog.find(stored.key.storePathHash)
      const before = records.find(({ key }) => isSameFile(key, stored.key))
      await keeper.adopt(stored)
      if (before === undefined || claimsOf(before) !== claimsOf(stored)) reseal(stored)
    },
    async flush() {
      await keeper.flush()
      await Promise.all(writing)
    },
  }
}

/** Whose words stand behind a record, and which: the same text for the same ones. */
function claimsOf(stored: UnmeasuredNar): string {
  const pair = ({ upstream, claim }: StoredClaim) => [
    upstream,
    Buffer.from(claim).toString('latin1'),
  ]
  return JSON.stringify([pair(stored), stored.witnesses.map(pair), stored.verifiedCa])
}
