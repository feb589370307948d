import type { Policy } from '../policy/policy.ts'
import type { Conflict } from '../settings/conflict.ts'
import { quoteName } from '../settings/describe-found.ts'
import type { KeyPath } from '../settings/key-path.ts'
import { nearestName } from '../settings/nearest-name.ts'
import { addressedPath } from './case-claims.ts'
import type { PolicyCase } from './case-schema.ts'

/** What no key of a case has wrong by itself: names of upstreams that do not exist, and what contradicts itself. */
export function checkCases(cases: readonly PolicyCase[], policy: Policy): readonly Conflict[] {
  return cases.flatMap((test, index) => {
    const at = ['case', index]
    return [
      ...checkUpstreams(test, at, policy),
      ...checkAddresses(test, at, policy),
      ...checkExpectation(test, at),
    ]
  })
}

function checkUpstreams(
  { claims, down, expect }: PolicyCase,
  at: KeyPath,
  { upstreams }: Policy,
): readonly Conflict[] {
  const known = upstreams.map(({ name }) => name)
  const named: readonly (readonly [KeyPath, string])[] = [
    ...claims.map(({ upstream }, index) => [['claims', index, 'upstream'], upstream] as const),
    ...down.map((upstream, index) => [['down', index], upstream] as const),
  ]
  const mentioned: typeof named =
    expect.upstream === undefined
      ? named
      : [...named, [['expect', 'upstream'], expect.upstream] as const]
  const strangers = mentioned
    .filter(([, name]) => !known.includes(name))
    .map(([path, name]) => ({
      path: [...at, ...path],
      found: `${quoteName(name)}, which is no upstream of the policy`,
      allowed: known.map((each) => quoteName(each)).join(', '),
      nearest: nearestName(name, known),
    }))
  const repeated = named
    .filter(([, name], index) => named.findIndex(([, other]) => other === name) < index)
    .map(([path, name]) => ({
      path: [...at, ...path],
      found: `${quoteName(name)} for the second time`,
      allowed: 'one answer of each upstream: a claim, or down',
    }))
  return [...strangers, ...repeated]
}

/** A content address gives the path its hash, and a request is for one hash. */
function checkAddresses(
  { path, claims }: PolicyCase,
  at: KeyPath,
  { storeDir }: Policy,
): readonly Conflict[] {
  const hashes = claims.map((claim) => addressedPath(claim, path, storeDir)?.hash ?? null)
  const first = hashes.find((hash) => hash !== null)
  return claims.flatMap(({ content_addressed: address }, index) => {
    const keyPath = [...at, 'claims', index, 'content_addressed']
    if (address === false || address === 'wrong') return []
    if (hashes[index] === null) {
      const allowed = 'references only with content_addressed = true: Nix has no others'
      return [{ path: keyPath, found: '"md5" besides references', allowed }]
    }
    if (hashes[index] === first) return []
    const found = 'a content address that gives the path another hash than that of an earlier claim'
    return [{ path: keyPath, found, allowed: 'the same nar, name and references as there' }]
  })
}

function checkExpectation({ expect }: PolicyCase, at: KeyPath): readonly Conflict[] {
  const { verdict, reason, upstream } = expect
  if (reason !== undefined && verdict !== 'refused') {
    const path = [...at, 'expect', 'reason']
    return [{ path, found: `a reason besides ${verdict}`, allowed: 'a reason besides refused' }]
  }
  if (upstream !== undefined && verdict === 'absent') {
    const path = [...at, 'expect', 'upstream']
    return [{ path, found: 'an upstream besides absent', allowed: 'none: nobody has it' }]
  }
  return []
}
