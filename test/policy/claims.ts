/** Claims for tests: the fields of a narinfo, their text, and what Weir decides of it. */
import { Buffer } from 'node:buffer'
import {
  formatContentAddress,
  parseContentAddress,
  storePathOfContentAddress,
} from '../../src/nix/content-address.ts'
import { formatSignature, type SecretKey, sign } from '../../src/nix/signature.ts'
import { parseBaseName, type StorePathHash } from '../../src/nix/store-path.ts'
import { type Claim, readClaim } from '../../src/policy/claim.ts'
import type { Policy } from '../../src/policy/policy.ts'
import {
  judge,
  type RefusalReason,
  type SignatureEvidence,
  type Verdict,
} from '../../src/policy/verdict.ts'
import { contentAddressed, must, pathHash, storeDir } from '../nix/fixtures.ts'
import { policy } from './policies.ts'

export type Fields = {
  readonly baseName: string
  readonly narHash: string
  readonly narSize: string
  readonly references: readonly string[]
  readonly ca: string | null
  readonly sigs: readonly string[]
  readonly extra: readonly string[]
}

export const hashOne = 'sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv'
export const hashTwo = 'sha256:0y2pc4gfpcpnqs0fk7ki24slri9jbw8ig26r400waz0kl6ani4lg'
export const plain: Fields = {
  baseName: '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top',
  narHash: hashOne,
  narSize: '310288',
  references: ['05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top', 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'],
  ca: null,
  sigs: [],
  extra: [],
}

/** The same path's claim under another name; nothing refers to it. */
export const called = (name: string): Fields => ({
  ...plain,
  baseName: `05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-${name}`,
  references: [],
})

/** What a signature covers, written from protocol.md, not taken from the code under test. */
export const covered = ({ baseName, narHash, narSize, references }: Fields): string => {
  const paths = [...new Set(references)].map((name) => `/nix/store/${name}`).sort()
  return `1;/nix/store/${baseName};${narHash};${narSize};${paths.join(',')}`
}

export const textOf = (fields: Fields): string =>
  [
    `StorePath: /nix/store/${fields.baseName}`,
    'URL: nar/some.nar.xz',
    'Compression: xz',
    `NarHash: ${fields.narHash}`,
    `NarSize: ${fields.narSize}`,
    `References: ${fields.references.join(' ')}`,
    ...fields.sigs.map((signature) => `Sig: ${signature}`),
    ...(fields.ca === null ? [] : [`CA: ${fields.ca}`]),
    ...fields.extra,
  ]
    .map((line) => `${line}\n`)
    .join('')

export const signature = (key: SecretKey, fields: Fields): string =>
  formatSignature(sign(key, covered(fields)))

export const signed = (fields: Fields, ...keys: readonly SecretKey[]): Fields => ({
  ...fields,
  sigs: keys.map((key) => signature(key, fields)),
})

/** The signature with one bit of its 64 bytes changed. */
export const broken = (text: string, bit = 77): string => {
  const colon = text.indexOf(':')
  const bytes = Buffer.from(text.slice(colon + 1), 'base64')
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return `${text.slice(0, colon)}:${bytes.toString('base64')}`
}

export const readingOf = (text: string | Uint8Array, upstream: string, hash: StorePathHash) =>
  readClaim(policy, upstream, hash, Buffer.from(text))

export function claimOf(fields: Fields, upstream = 'nixos'): Claim {
  const reading = readingOf(textOf(fields), upstream, pathHash(fields.baseName.slice(0, 32)))
  if (reading.kind === 'malformed') throw new TypeError(`not a claim: ${reading.reason}`)
  return reading.claim
}

export const verdictOn = (fields: Fields, upstream = 'nixos', rules: Policy = policy): Verdict =>
  judge(rules, claimOf(fields, upstream))

/** What a verdict says, in one line of a table. */
export type Summary =
  | {
      readonly kind: 'trusted'
      /** The key's name, `CA`, or `nobody`. */
      readonly by: string
      readonly ca: string | null
      readonly handedOn: readonly string[]
      readonly evidence: readonly SignatureEvidence['result'][]
    }
  | {
      readonly kind: 'refused'
      readonly reason: RefusalReason
      readonly evidence: readonly SignatureEvidence['result'][]
    }

export function summary(verdict: Verdict): Summary {
  const evidence = verdict.evidence.map(({ result }) => result)
  if (verdict.kind === 'refused') return { kind: 'refused', reason: verdict.reason, evidence }
  const { narinfo, voucher } = verdict
  return {
    kind: 'trusted',
    by: voucherName(voucher),
    ca: narinfo.ca && formatContentAddress(narinfo.ca),
    handedOn: narinfo.signatures.map(formatSignature),
    evidence,
  }
}

function voucherName(voucher: Extract<Verdict, { kind: 'trusted' }>['voucher']): string {
  switch (voucher.kind) {
    case 'signature':
      return voucher.keyName
    case 'content-address':
      return 'CA'
    case 'insecure':
      return 'nobody'
  }
}

export const refused = (
  reason: RefusalReason,
  ...evidence: readonly SignatureEvidence['result'][]
): Summary => ({ kind: 'refused', reason, evidence })

export const trustedBy = (
  fields: Fields,
  by: string,
  evidence: readonly SignatureEvidence['result'][],
  changes: { readonly ca?: null; readonly handedOn?: readonly string[] } = {},
): Summary => ({
  kind: 'trusted',
  by,
  ca: fields.ca,
  handedOn: fields.sigs,
  evidence,
  ...changes,
})

/* Content-addressed claims whose path recomputes, by the CA's kind. A NAR that is its own content address has that NarHash. */
const addressed = (prefix: string, references = 0): Fields => {
  const found = contentAddressed.find(
    ([, refs, ca]) => ca.startsWith(prefix) && refs.length === references,
  )
  const [baseName, refs, ca] = must(found)
  const isSelf = refs.some((reference) => reference === baseName)
  const isOwnNarHash = ca.startsWith('fixed:r:sha256:') && !isSelf
  const narHash = isOwnNarHash ? ca.slice('fixed:r:'.length) : hashOne
  return { ...plain, baseName, references: refs, ca, narHash }
}
export const flat = addressed('fixed:sha256:')
export const recursive = addressed('fixed:r:sha256:')
export const withSelf = addressed('fixed:r:sha256:', 1)
export const withReferences = addressed('fixed:r:sha256:', 2)
/** A NAR that refers to another path, and not to its own: it is hashed as it is. */
export const toOthers = ((): Fields => {
  const dep = 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'
  const ca = `fixed:r:${hashOne}`
  const references = [must(parseBaseName(dep))]
  const address = must(parseContentAddress(ca))
  const self = { selfReference: false }
  const path = must(storePathOfContentAddress(address, 'referring', references, self, storeDir))
  return { ...plain, baseName: path.baseName, references: [dep], ca, narHash: hashOne }
})()
export const text = addressed('text:sha256:', 1)
export const sha512 = addressed('fixed:r:sha512:')
export const md5 = addressed('fixed:md5:')
export const sha1 = addressed('fixed:r:sha1:')
export const wrongCa = {
  ...plain,
  ca: 'fixed:r:sha256:18nrsqhkazc4vfyn8gn0kw60psmf29197n1hf96afkpyqyha06bx',
}

export const git = (algorithm: 'sha1' | 'sha256'): Fields => {
  const digest = 'ab'.repeat(algorithm === 'sha1' ? 20 : 32)
  const ca = must(parseContentAddress(`fixed:git:${algorithm}:${digest}`))
  const path = storePathOfContentAddress(ca, 'tree', [], { selfReference: false }, storeDir)
  return {
    ...plain,
    baseName: must(path).baseName,
    references: [],
    ca: formatContentAddress(ca),
  }
}
