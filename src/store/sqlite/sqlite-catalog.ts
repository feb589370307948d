import { DatabaseSync } from 'node:sqlite'
import type { Catalog, StoredNar } from '../../ports/catalog.ts'
import {
  diskBytesOf,
  keyParameters,
  type Row,
  rowParameters,
  storedNarOf,
  useParameters,
  usedNarOf,
} from './catalog-rows.ts'
import { migrateCatalog } from './catalog-schema.ts'
import { type CatalogStatements, prepareCatalog } from './catalog-statements.ts'
import { autocheckpointPages, type Checkpointer, createCheckpointer } from './checkpointer.ts'
import { inTransaction } from './in-transaction.ts'
import { createPutQueue } from './put-queue.ts'

/** Opens or makes the catalog in a SQLite file; `:memory:` for one that is gone with the process. */
export function openSqliteCatalog(file: string): Catalog {
  const database = new DatabaseSync(file)
  try {
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;
       PRAGMA wal_autocheckpoint = ${autocheckpointPages}`,
    )
    migrateCatalog(database)
    return catalogIn(database, file === ':memory:' ? unneeded : createCheckpointer(file))
  } catch (error) {
    database.close()
    throw error
  }
}

/** What is in memory has no journal. */
const unneeded: Checkpointer = {
  wrote: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

function catalogIn(database: DatabaseSync, checkpointer: Checkpointer): Catalog {
  const statements = prepareCatalog(database)
  const queue = createPutQueue((records) => {
    const replaced = inTransaction(database, () => records.map((stored) => put(statements, stored)))
    void checkpointer.wrote(records.length)
    return replaced
  })
  /* The statements are synchronous and short; a promise keeps their errors where the port expects them. Puts come in their order. */
  const promised = <T>(act: () => T): Promise<T> =>
    Promise.try(() => {
      queue.flush()
      return act()
    })
  const transaction = <T>(act: () => T): Promise<T> => promised(() => inTransaction(database, act))
  const withWitnesses = (row: Row): StoredNar =>
    storedNarOf(row, statements.witnesses.all(String(row['hash'])))
  return {
    find: (hash) =>
      promised(() => {
        const witnesses = statements.witnesses.all(hash)
        return statements.find.all(hash).map((row) => storedNarOf(row, witnesses))
      }),
    put: (stored) => queue.put(stored),
    async putMissing(records) {
      const put = await transaction(() =>
        records.filter((stored) => putMissing(statements, stored)),
      )
      await checkpointer.wrote(put.length)
      return put
    },
    touch: (keys, usedAtMs) =>
      transaction(() => {
        for (const key of keys) statements.touch.run(usedAtMs, ...keyParameters(key))
        void checkpointer.wrote(keys.length)
      }),
    remove: (key) =>
      transaction(() => {
        statements.removeWitnesses.run(...keyParameters(key))
        return diskBytesOf(statements.remove.get(...keyParameters(key)))
      }),
    totals: () =>
      promised(() => {
        const row = statements.totals.get() ?? {}
        return { count: Number(row['count']), bytes: Number(row['bytes']) }
      }),
    leastRecentlyUsed: (limit, after) =>
      promised(() => statements.oldest.all(...useParameters(after), limit).map(usedNarOf)),
    page: (after, limit) =>
      promised(() =>
        statements.page
          .all(...(after === null ? ['', '', ''] : keyParameters(after)), limit)
          .map(withWitnesses),
      ),
    search: ({ text, before, span }) =>
      promised(() => {
        const from = before ?? Number.MAX_SAFE_INTEGER
        const found = statements.search.all(from, span, text)
        const last = statements.lastOfSpan.get(from, span - 1)
        return {
          found: found.map((row) => ({ place: Number(row['place']), stored: withWitnesses(row) })),
          next: last === undefined ? null : Number(last['place']),
        }
      }),
    isRebuildDue: () => promised(() => statements.isRebuildDue.get() !== undefined),
    rebuilt: () =>
      promised(() => {
        statements.rebuilt.run()
      }),
    async close() {
      queue.flush()
      await checkpointer.close()
      database.close()
    },
  }
}

/** What the record took that this one replaced; `null` where there was none. */
function put(statements: CatalogStatements, stored: StoredNar): number | null {
  const replaced = statements.diskBytes.get(...keyParameters(stored.key))
  statements.put.run(...rowParameters(stored))
  statements.removeWitnesses.run(...keyParameters(stored.key))
  putWitnesses(statements, stored)
  return diskBytesOf(replaced)
}

/** Whether there was no record yet, so that this one is there now. */
function putMissing(statements: CatalogStatements, stored: StoredNar): boolean {
  if (statements.putMissing.run(...rowParameters(stored)).changes === 0) return false
  putWitnesses(statements, stored)
  return true
}

function putWitnesses(statements: CatalogStatements, { key, witnesses }: StoredNar): void {
  for (const { upstream, claim } of witnesses) {
    statements.putWitness.run(...keyParameters(key), upstream, claim)
  }
}
