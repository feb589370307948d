import {
  formatPublicKey,
  formatSecretKey,
  generateSecretKey,
  parseSecretKey,
  type PublicKey,
  type SecretKey,
} from '../nix/signature.ts'
import type { Block } from '../policy/block.ts'
import type { Policy } from '../policy/policy.ts'

/** A policy that says the same with other keys, of which the secret halves are known. */
export type SignablePolicy = {
  readonly policy: Policy
  /** The key that the policy calls so; a stranger's, always the same, where it calls none so. */
  readonly secretOf: (keyName: string) => SecretKey
}

/** Puts fresh keys of the same names in place of a policy's, the same for the same bytes: then claims can really be signed. */
export function withFreshKeys(policy: Policy): SignablePolicy {
  const byBytes = new Map<string, SecretKey>()
  const byName = new Map<string, SecretKey>()
  const fresh = ({ name, bytes }: PublicKey): PublicKey => {
    const id = Buffer.from(bytes).toString('hex')
    const known = byBytes.get(id) ?? generateSecretKey(name)
    byBytes.set(id, known)
    const secret = renamed(known, name)
    // Names mean one key each, but for those of recalled keys, which come last.
    if (!byName.has(name)) byName.set(name, secret)
    return secret.publicKey
  }
  const upstreams = policy.upstreams.map((upstream) => ({
    ...upstream,
    keys: upstream.keys.map(fresh),
  }))
  const rules = policy.rules.map((rule) => ({
    ...rule,
    signedBy: rule.signedBy?.map(fresh) ?? null,
  }))
  const blocks = policy.blocks.map((block) => freshBlock(block, fresh))
  return {
    policy: { ...policy, upstreams, rules, blocks },
    secretOf(keyName) {
      const secret = byName.get(keyName) ?? generateSecretKey(keyName)
      byName.set(keyName, secret)
      return secret
    },
  }
}

function freshBlock({ blocked, reason }: Block, fresh: (key: PublicKey) => PublicKey): Block {
  return blocked.kind === 'key'
    ? { blocked: { ...blocked, key: fresh(blocked.key) }, reason }
    : { blocked, reason }
}

/** The same key under another name. */
function renamed(secret: SecretKey, name: string): SecretKey {
  if (secret.name === name) return secret
  const key = parseSecretKey(name + formatSecretKey(secret).slice(secret.name.length))
  if (key === null) throw new RangeError(`not a key name: ${formatPublicKey(secret.publicKey)}`)
  return key
}
