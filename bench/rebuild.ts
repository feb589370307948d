/**
 * How fast a lost catalog is rebuilt from the files of 50,000 made-up paths, and how long it holds up the event loop meanwhile. The goals
 * are 20,000 paths a second and 10 ms. Run: npm run bench -- rebuild
 */
import { createSecretKey } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { formatNarinfo } from '../src/nix/format-narinfo.ts'
import { formatHash, parseHash } from '../src/nix/hash.ts'
import { encodeNix32 } from '../src/nix/nix32.ts'
import { narFileName } from '../src/nix/nar-key.ts'
import { parseBaseName, parseStoreDir } from '../src/nix/store-path.ts'
import type { StoredNar } from '../src/ports/catalog.ts'
import { recordsInFiles } from '../src/store/disk/record-scan.ts'
import { withRecord } from '../src/store/sealed-record.ts'
import { openSqliteCatalog } from '../src/store/sqlite/sqlite-catalog.ts'

const paths = 50_000
const rounds = 3

const storeDir = must(parseStoreDir('/nix/store'))
const key = createSecretKey(Buffer.alloc(32, 7))
const dir = mkdtempSync(join(tmpdir(), 'weir-bench-'))
try {
  mkdirSync(join(dir, 'cache', 'nar'), { recursive: true })
  for (let index = 0; index < paths; index += 1) writePath(join(dir, 'cache'), index)
  for (let round = 0; round < rounds; round += 1) await rebuildOnce(join(dir, `${round}.sqlite`))
} finally {
  rmSync(dir, { recursive: true, force: true })
}

async function rebuildOnce(file: string): Promise<void> {
  const catalog = openSqliteCatalog(file)
  const held = monitorEventLoopDelay({ resolution: 1 })
  const before = process.cpuUsage()
  const startMs = performance.now()
  held.enable()
  let count = 0
  let longestMs = 0
  const setup = { dir: join(dir, 'cache'), key }
  for await (const { records } of recordsInFiles(setup, new AbortController().signal)) {
    const putMs = performance.now()
    const put = catalog.putMissing(records)
    longestMs = Math.max(longestMs, performance.now() - putMs)
    count += (await put).length
  }
  held.disable()
  const seconds = (performance.now() - startMs) / 1000
  const { user, system } = process.cpuUsage(before)
  await catalog.close()
  const perPath = (user + system) / count
  console.log(
    `${count} paths in ${seconds.toFixed(2)} s: ${Math.round(count / seconds)} a second, ${perPath.toFixed(0)} µs of CPU each; the longest write ${longestMs.toFixed(1)} ms; the event loop was late by ${(held.percentile(99) / 1e6).toFixed(1)} ms (p99), ${(held.max / 1e6).toFixed(1)} ms (most)`,
  )
}

function writePath(cacheDir: string, index: number): void {
  const bytes = Buffer.alloc(20, index % 251)
  bytes.writeUInt32LE((index * 2654435761) >>> 0)
  const storePath = must(parseBaseName(`${encodeNix32(bytes)}-package-${index}.2`))
  const narHash = must(parseHash(`sha256:${Buffer.alloc(32, index % 251).toString('hex')}`))
  const narinfo = {
    ...{
      storePath,
      url: 'nar/x.nar.xz',
      compression: 'xz' as const,
      fileHash: null,
      fileSize: null,
    },
    ...{ narHash, narSize: 1_000_000n, deriver: null, signatures: [], malformedSignatures: [] },
    references: Array.from({ length: 5 }, (_, at) =>
      must(parseBaseName(`${String(at).padStart(32, '1')}-library-${at}.2`)),
    ),
    ...{ ca: null, unknownFields: [] },
  } as const
  const text = formatNarinfo(narinfo, storeDir)
  const narKey = {
    storePathHash: storePath.hash,
    narHash: formatHash(narHash).slice('sha256:'.length),
    compression: 'zstd',
  } as const
  const stored: StoredNar = {
    ...{ key: narKey, upstream: 'nixos', claim: Buffer.from(text), witnesses: [] },
    ...{
      verifiedCa: null,
      certainIn: '0123456789abcdef',
      fileBytes: 3,
      diskBytes: 8192,
      etag: '"x"',
    },
    ...{ fileHash: formatHash(narHash), storedAtMs: index, usedAtMs: index },
  }
  const ours = text.replace('nar/x.nar.xz', `nar/${narFileName(narKey)}`)
  writeFileSync(join(cacheDir, `${storePath.hash}.narinfo`), withRecord(ours, stored, key))
  writeFileSync(join(cacheDir, 'nar', narFileName(narKey)), 'abc')
}

function must<T>(value: T | null): T {
  if (value === null) throw new TypeError('the bench made something malformed')
  return value
}
