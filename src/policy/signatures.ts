import { fingerprint } from '../nix/fingerprint.ts'
import { type PublicKey, type Signature, verifySignature } from '../nix/signature.ts'
import { isBlockedKey } from './block.ts'
import type { Claim } from './claim.ts'
import type { Policy } from './policy.ts'
import type { Rule } from './rule.ts'

/** What one signature of a claim turned out to be. */
export type SignatureEvidence = {
  readonly keyName: string
  /**
   * `vouches`: valid, by a key that may vouch here. `valid`: by a key that Weir holds, and that may not. `blocked-key`: by a key
   * that was recalled, valid or not.
   */
  readonly result: 'vouches' | 'valid' | 'bad-signature' | 'unknown-key' | 'blocked-key'
}

export type JudgedSignature = {
  readonly signature: Signature
  readonly evidence: SignatureEvidence
  /** The key, where the signature vouches. */
  readonly vouchingKey: PublicKey | null
  /** Whether it is a valid one by a key of the claim's own upstream. */
  readonly isUpstreams: boolean
}

/** Looks at every signature of a claim, for the rule that decides. A name means the same key everywhere: the settings see to it. */
export function judgeSignatures(
  policy: Policy,
  rule: Rule | null,
  claim: Claim,
): readonly JudgedSignature[] {
  const message = fingerprint(claim.narinfo, policy.storeDir)
  const own = policy.upstreams.find(({ name }) => name === claim.upstream)?.keys ?? []
  const may = rule?.signedBy ?? own
  const held = [...own, ...may, ...policy.upstreams.flatMap(({ keys }) => keys)]
  return claim.narinfo.signatures.map((signature) => {
    const { keyName } = signature
    const key = named(held, keyName)
    const worthless = (result: SignatureEvidence['result']): JudgedSignature => ({
      signature,
      evidence: { keyName, result },
      vouchingKey: null,
      isUpstreams: false,
    })
    if (key === null) return worthless('unknown-key')
    if (isBlockedKey(policy.blocks, key)) return worthless('blocked-key')
    if (!verifySignature(key, message, signature)) return worthless('bad-signature')
    const vouches = named(may, keyName) !== null
    return {
      signature,
      evidence: { keyName, result: vouches ? 'vouches' : 'valid' },
      vouchingKey: vouches ? key : null,
      isUpstreams: named(own, keyName) !== null,
    }
  })
}

function named(keys: readonly PublicKey[], name: string): PublicKey | null {
  return keys.find((key) => key.name === name) ?? null
}
