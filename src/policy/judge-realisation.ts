import { type DrvOutput, outputPathName } from '../nix/drv-output.ts'
import { type Mapping, type Realisation, realisationFingerprint } from '../nix/realisation.ts'
import { type PublicKey, type Signature, verifySignature } from '../nix/signature.ts'
import type { StorePath } from '../nix/store-path.ts'
import { blockOfName, isBlockedKey } from './block.ts'
import type { Policy } from './policy.ts'
import { type Rule, ruleFor } from './rule.ts'

/** Why a realisation is refused. */
export type RealisationRefusal =
  /** It is about another output than was asked for: no answer. */
  | 'malformed'
  /** The path has a name that the derivation cannot give it. */
  | 'wrong-name'
  /** Which name the output has to have is not known, and the key may not vouch for every name. */
  | 'name-not-known'
  | 'blocked'
  | 'upstream-suspended'
  | 'upstream-not-allowed'
  /** No rule matches the name, and the policy denies what none matches. */
  | 'unmatched'
  | 'no-agreement'
  | 'no-trusted-signature'
  | 'unknown-key'

/** What Weir decides of a realisation; `badSignatures` names the keys that Weir holds and under which one failed. */
export type RealisationVerdict =
  | {
      readonly kind: 'trusted'
      /** With only those signatures that vouch here. */
      readonly realisation: Realisation
      /** The keys that vouch. */
      readonly keys: readonly PublicKey[]
      /** The rule's name; `null` where no rule matched. */
      readonly rule: string | null
      readonly badSignatures: readonly string[]
    }
  | {
      readonly kind: 'refused'
      readonly reason: RealisationRefusal
      /** The output path that is refused: the realisation's own, or that of a dependent. */
      readonly path: StorePath
      readonly badSignatures: readonly string[]
    }

/**
 * The verdict on a realisation (trust.md, "What is not a narinfo or a NAR"): only a valid signature by a key that may vouch for the
 * output's name makes it trusted, since a content address proves bytes, never whose output they are. `enforce` changes nothing, and
 * neither does `insecureUnsigned`: a mapping without a signature is never handed on. The dependents are signed with it, and old
 * clients take them with it: the same key must vouch for each of their names too.
 *
 * Where outputs are named by path, the name is held against the derivation's. Where they are named by a derivation's hash, nobody can
 * tell from the request which name the output should have, and old clients take a path of any name: whoever may vouch for one name
 * could answer for every derivation. There only a key counts that may vouch for whatever the name is.
 */
export function judgeRealisation(
  policy: Policy,
  upstream: string,
  asked: DrvOutput,
  realisation: Realisation,
): RealisationVerdict {
  const { valid, bad, isAnyHeld } = judgeSignatures(policy, realisation)
  const refused = (reason: RealisationRefusal, path: StorePath): RealisationVerdict => ({
    kind: 'refused',
    reason,
    path,
    badSignatures: bad,
  })
  if (realisation.output.id !== asked.id) return refused('malformed', realisation.outPath)
  let vouching = valid
  for (const mapping of [realisation, ...realisation.dependents]) {
    const standing = standingFor(policy, upstream, mapping)
    if (typeof standing === 'string') return refused(standing, mapping.outPath)
    vouching = vouching.filter(({ key }) => standing.some((held) => isSameKey(held, key)))
    if (vouching.length === 0) {
      return refused(isAnyHeld ? 'no-trusted-signature' : 'unknown-key', mapping.outPath)
    }
    if (outputPathName(mapping.output) !== null) continue
    vouching = vouching.filter(({ key }) => mayVouchForAnyName(policy, upstream, key))
    if (vouching.length === 0) return refused('name-not-known', mapping.outPath)
  }
  return {
    kind: 'trusted',
    realisation: { ...realisation, signatures: vouching.map(({ signature }) => signature) },
    keys: vouching.map(({ key }) => key),
    rule: ruleFor(policy.rules, realisation.outPath.name)?.name ?? null,
    badSignatures: bad,
  }
}

/** The keys that may vouch for a mapping from that upstream, or why none may. */
function standingFor(
  policy: Policy,
  upstream: string,
  mapping: Mapping,
): readonly PublicKey[] | RealisationRefusal {
  const { output, outPath } = mapping
  const expectedName = outputPathName(output)
  if (expectedName !== null && outPath.name !== expectedName) return 'wrong-name'
  if (isBlocked(policy, outPath)) return 'blocked'
  if (output.kind === 'by-path' && isBlocked(policy, output.derivation)) return 'blocked'
  if (policy.suspended.has(upstream)) return 'upstream-suspended'
  const known = policy.upstreams.find(({ name }) => name === upstream)
  const rule = ruleFor(policy.rules, outPath.name)
  if (known === undefined || rule?.from?.includes(upstream) === false) return 'upstream-not-allowed'
  if (rule === null && policy.unmatched === 'deny') return 'unmatched'
  // Whether upstreams agree on a realisation is not asked: the safe side is that none is handed on where they must.
  if (needsAgreement(rule)) return 'no-agreement'
  return (rule?.signedBy ?? known.keys).filter((key) => !isBlockedKey(policy.blocks, key))
}

/** Whether no rule would keep the upstream and the key from vouching, whatever the name. */
function mayVouchForAnyName(policy: Policy, upstream: string, key: PublicKey): boolean {
  const isOwn = policy.upstreams.some(
    ({ name, keys }) => name === upstream && keys.some((own) => isSameKey(own, key)),
  )
  if (policy.unmatched === 'deny' || !isOwn) return false
  return policy.rules.every(
    (rule) =>
      rule.from?.includes(upstream) !== false &&
      rule.signedBy?.some((one) => isSameKey(one, key)) !== false &&
      !needsAgreement(rule),
  )
}

function needsAgreement(rule: Rule | null): boolean {
  return rule !== null && rule.agree > 1
}

/** A block by NarHash cannot apply: a realisation says nothing of the NAR, and the path's own claim is judged as any other. */
function isBlocked({ blocks }: Policy, path: StorePath): boolean {
  return (
    blockOfName(blocks, path.name) !== null ||
    blocks.some(
      ({ blocked }) =>
        (blocked.kind === 'path' && blocked.baseName === path.baseName) ||
        (blocked.kind === 'hash' && blocked.hash === path.hash),
    )
  )
}

type Signed = { readonly signature: Signature; readonly key: PublicKey }

function judgeSignatures(policy: Policy, realisation: Realisation) {
  const message = realisationFingerprint(realisation)
  const keys = [
    ...policy.upstreams.flatMap(({ keys }) => keys),
    ...policy.rules.flatMap(({ signedBy }) => signedBy ?? []),
  ]
  const valid: Signed[] = []
  const bad: string[] = []
  for (const signature of realisation.signatures) {
    // One name means one key everywhere: two keys under one name are an error when the settings are loaded.
    const key = keys.find(({ name }) => name === signature.keyName)
    if (key === undefined) continue
    if (verifySignature(key, message, signature)) valid.push({ signature, key })
    else bad.push(key.name)
  }
  const isAnyHeld = realisation.signatures.length === 0 || valid.length + bad.length > 0
  return { valid, bad, isAnyHeld }
}

function isSameKey(a: PublicKey, b: PublicKey): boolean {
  return Buffer.compare(a.bytes, b.bytes) === 0
}
