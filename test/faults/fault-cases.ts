import type { FaultAction } from '../lab/fault.ts'
import { answering, everything, type FaultCase, narinfos, nars, onceEach } from './fault-case.ts'
import { unreachable } from './unreachable.ts'

const status = (code: number, retryAfter?: string): FaultAction => ({
  ...{ kind: 'status', status: code },
  ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
})

const errors: readonly FaultCase[] = [
  ...[500, 502, 503, 429].map((code) =>
    answering(`answers everything with ${code}`, everything, [status(code)]),
  ),
  ...[503, 429].map((code) =>
    answering(`answers everything with ${code} and Retry-After: 1`, everything, [
      status(code, '1'),
    ]),
  ),
  onceEach('answers the first request for each file with 500', everything, status(500)),
  onceEach('answers the first request for each file with 503', everything, status(503)),
  ...[503, 429].map((code) => ({
    ...onceEach(
      `answers the first request for each file with ${code} and Retry-After: 1`,
      everything,
      status(code, '1'),
    ),
    // A second for each of 12 NARs, and for each step in which narinfos are asked for.
    awayMs: { alone: 15_000, beside: 2000 },
  })),
]

const slow: readonly FaultCase[] = [
  answering('sends narinfos at 1 byte/s', narinfos, [{ kind: 'drip', everyMs: 1000 }]),
  answering('sends NARs at 1 byte/s', nars, [{ kind: 'drip', everyMs: 1000 }]),
]

const broken: readonly FaultCase[] = [
  onceEach('resets each narinfo once, after 100 bytes', narinfos, { kind: 'reset', bytes: 100 }),
  answering('resets narinfos after 100 bytes', narinfos, [{ kind: 'reset', bytes: 100 }]),
  onceEach('resets each NAR once, before its first byte', nars, { kind: 'reset', bytes: 0 }),
  onceEach('resets each NAR once, in the middle', nars, { kind: 'reset', bytes: 'middle' }),
  onceEach('resets each NAR once, before its last byte', nars, { kind: 'reset', bytes: 'last' }),
  onceEach(
    'resets each NAR once, in the middle, and knows no ranges',
    nars,
    { kind: 'reset', bytes: 'middle' },
    { kind: 'norange' },
  ),
  answering('resets NARs in the middle, always, and knows no ranges', nars, [
    { kind: 'reset', bytes: 'middle' },
    { kind: 'norange' },
  ]),
  answering('says that narinfos are longer than they are', narinfos, [
    { kind: 'wrongLength', by: 100 },
  ]),
  answering('says that NARs are longer than they are', nars, [{ kind: 'wrongLength', by: 100 }], {
    isSurvivable: true,
  }),
  answering('says that narinfos are shorter than they are', narinfos, [
    { kind: 'wrongLength', by: -50 },
  ]),
  answering('says that NARs are shorter than they are', nars, [{ kind: 'wrongLength', by: -50 }]),
]

const elsewhere: readonly FaultCase[] = [
  answering('redirects in a circle', everything, [{ kind: 'redirect', location: '/again' }]),
  answering('answers narinfos with a web page', narinfos, [{ kind: 'html' }]),
  answering('answers NARs with a web page', nars, [{ kind: 'html' }]),
]

/** Every way in which an upstream fails that is tried. */
export const faultCases: readonly FaultCase[] = [
  ...unreachable,
  ...slow,
  ...errors,
  ...broken,
  ...elsewhere,
]
