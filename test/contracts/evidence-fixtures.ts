import type { Test } from 'tap'
import type { Evidence, ServedNar, ServedRecord, TrustEvent } from '../../src/ports/evidence.ts'
import type { FixedClock } from '../fakes/fixed-clock.ts'
import { pathHash } from '../nix/fixtures.ts'

/** The bytes of a key, in base64, from one character. */
export const keyBytes = (key: string): string => key.repeat(43) + '='

/** The serving of a NAR, from one character for the path's hash and a name. */
export function servedNar(hash: string, name: string, changes: Partial<ServedNar> = {}): ServedNar {
  return {
    hash: pathHash(hash.repeat(32)),
    path: `${hash.repeat(32)}-${name}`,
    narHash: hash.repeat(52),
    client: '192.0.2.1',
    upstream: 'ours',
    keys: [`ours-1:${keyBytes('A')}`],
    rule: 'the first rule',
    epoch: 'epoch-1',
    ...changes,
  }
}

/** Something that happened about a path. */
export function trustEvent(changes: Partial<TrustEvent> = {}): TrustEvent {
  return {
    kind: 'divergence',
    hash: pathHash('0'.repeat(32)),
    upstream: 'ours',
    detail: 'ours and theirs differ',
    ...changes,
  }
}

/** When a test of the contract begins. */
export const startMs = 1_750_000_000_000

/** What is kept of one serving at a time. */
export function once(nar: ServedNar, atMs = startMs): ServedRecord {
  return { ...nar, firstMs: atMs, lastMs: atMs, count: 1 }
}

/** Exactly these are found, in this order; their times and counts are another test's matter. */
export function testFound(
  t: Test,
  found: readonly unknown[],
  expected: readonly unknown[],
  title = 'what is found',
): void {
  t.match(found, expected, title)
  t.equal(found.length, expected.length, title)
}

/** A behaviour of empty evidence, whose clock begins at `startMs`. */
export type Act = (t: Test, evidence: Evidence, clock: FixedClock) => Promise<void>
export type Behaves = (title: string, act: Act) => void
