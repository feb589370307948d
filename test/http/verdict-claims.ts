/** The words of the verdict table: what upstreams offer for a hash, and what Weir answers. */
import { createHash } from 'node:crypto'
import nacl from 'tweetnacl'
import { encodeBase64 } from '../../src/nix/base64.ts'
import {
  type ContentAddress,
  formatContentAddress,
  parseContentAddress,
  storePathOfContentAddress,
} from '../../src/nix/content-address.ts'
import { formatHash, parseHash } from '../../src/nix/hash.ts'
import { formatSignature, parseSecretKey, type SecretKey, sign } from '../../src/nix/signature.ts'
import type { RefusalReason } from '../../src/policy/verdict.ts'
import { must, storeDir } from '../nix/fixtures.ts'

const secretKey = (name: string, byte: number): SecretKey => {
  const { secretKey } = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(byte))
  return must(parseSecretKey(`${name}:${encodeBase64(secretKey)}`))
}
/** Each upstream's own key is called like it; nobody holds the stranger's. */
export const keys = {
  nixos: secretKey('nixos-1', 1),
  acme: secretKey('acme-1', 2),
  mirror: secretKey('mirror-1', 3),
  second: secretKey('second-1', 4),
  vault: secretKey('vault-1', 5),
  stranger: secretKey('stranger-1', 6),
}
export type Signer = keyof typeof keys

/** A claim: unsigned and input-addressed, unless told otherwise. */
export type Offer = {
  readonly name: string
  readonly by: readonly Signer[]
  /** Signers whose signature is over something else. */
  readonly badBy?: readonly Signer[]
  /** `strong` and `md5` recompute; a NAR that is not its own content address `contradicts` it; `wrong` is another path's. */
  readonly ca?: 'strong' | 'md5' | 'contradicts' | 'wrong'
  /** Which NAR: two claims with different ones say different things. */
  readonly nar?: string
  readonly narSize?: string
  /** Labels and names of other rows' paths. */
  readonly references?: readonly (readonly [label: string, name: string])[]
  /** Changes the text after it was signed. */
  readonly mutate?: (text: string) => string
}

/** What an upstream answers: a claim, a text that is none, or a status without either. Who is not mentioned answers 404. */
export type Said = Offer | { readonly raw: string } | { readonly status: number }

export const offer = (name: string, ...by: readonly Signer[]): Offer => ({ name, by })
/** The same, content-addressed. */
export const addressed = (ca: NonNullable<Offer['ca']>, name: string, ...by: Signer[]): Offer => ({
  ...offer(name, ...by),
  ca,
})

export type Expected = {
  readonly status: 200 | 404 | 503
  readonly verdict: 'trusted' | 'refused' | 'absent' | 'unknown'
  readonly upstream: string | null
  /** Key names of the `Sig` lines, Weir's own as `weir`; not looked at where there is no narinfo. */
  readonly sigs: readonly string[]
  readonly hasCa: boolean
  readonly wouldRefuse: RefusalReason | null
  /** The whole body of a refusal, or a part of what could not be told. */
  readonly body: string
}

const nothing = { upstream: null, sigs: [], hasCa: false, wouldRefuse: null }

export const served = (
  upstream: string,
  sigs: readonly string[],
  more: Partial<Pick<Expected, 'hasCa' | 'wouldRefuse'>> = {},
): Expected => ({ ...nothing, status: 200, verdict: 'trusted', body: '', upstream, sigs, ...more })

/** Why each upstream's claim is refused, in the order of the upstreams. */
export const refused = (why: Readonly<Record<string, RefusalReason>>): Expected => ({
  ...nothing,
  status: 404,
  verdict: 'refused',
  body: `refused: ${Object.entries(why)
    .map((entry) => entry.join(': '))
    .join('; ')}\n`,
})

export const absent: Expected = {
  ...nothing,
  status: 404,
  verdict: 'absent',
  body: 'no upstream has this path\n',
}

export const unknown = (part: string): Expected => ({
  ...nothing,
  status: 503,
  verdict: 'unknown',
  body: part,
})

export type Row = {
  readonly title: string
  readonly says: Readonly<Record<string, Said>>
  readonly is: Expected
  readonly more: {
    /** Rows of one label are about one path; the title unless told. */
    readonly label?: string
    /** The rule that X-Weir-Rule names. */
    readonly rule?: string
    /** Who must not have been asked. */
    readonly notAsked?: readonly string[]
    /** Who answers only once Weir has trusted another's claim. */
    readonly last?: string
    /** What Weir logs before the next row is asked. */
    readonly logs?: string
  }
}
export const row = (
  title: string,
  says: Row['says'],
  is: Expected,
  more: Row['more'] = {},
): Row => ({ title, says, is, more })

/* Paths and texts. */

const nix32 = '0123456789abcdfghijklmnpqrsvwxyz'
const digest = (text: string): Uint8Array => createHash('sha256').update(text).digest()

/** The hash of an input-addressed path that goes by that label. */
export const hashOf = (label: string): string =>
  [...digest(label)].map((byte) => nix32.charAt(byte & 31)).join('')

/** The NarHash of a NAR that goes by that name. */
export const narHashOf = (nar: string): string =>
  `sha256:${Buffer.from(digest(`nar ${nar}`)).toString('hex')}`

function contentAddressOf(label: string, ca: NonNullable<Offer['ca']>): ContentAddress {
  const hex = Buffer.from(digest(`content ${label} ${ca === 'wrong' ? 'of another' : ''}`))
  return must(
    parseContentAddress(
      ca === 'md5'
        ? `fixed:md5:${hex.toString('hex', 0, 16)}`
        : `fixed:r:sha256:${hex.toString('hex')}`,
    ),
  )
}

/** The hash that a row asks for: it follows from the content address where one is to recompute. */
export function hashOfRow({ title, says, more: { label = title } }: Row): string {
  for (const said of Object.values(says)) {
    if (!('name' in said) || said.ca === undefined || said.ca === 'wrong') continue
    const ca = contentAddressOf(label, said.ca)
    const none = { selfReference: false }
    return must(storePathOfContentAddress(ca, said.name, [], none, storeDir)).hash
  }
  return hashOf(label)
}

/** The narinfo that an upstream sends for a row's path. */
export function textOf({ title, more: { label = title } }: Row, hash: string, said: Offer): string {
  const { name, by, badBy = [], nar = 'one', narSize = '120', references = [] } = said
  const ca = said.ca === undefined ? null : formatContentAddress(contentAddressOf(label, said.ca))
  const isOwnNarHash = said.ca === 'strong'
  const narHash = isOwnNarHash && ca !== null ? ca.slice('fixed:r:'.length) : narHashInNix32(nar)
  const refs = references.map(([of, what]) => `${hashOf(of)}-${what}`).sort()
  const paths = refs.map((each) => `/nix/store/${each}`).join(',')
  const covered = (size: string) => `1;/nix/store/${hash}-${name};${narHash};${size};${paths}`
  const sigs = [
    ...badBy.map((signer) => sign(keys[signer], covered('1'))),
    ...by.map((signer) => sign(keys[signer], covered(narSize))),
  ]
  const lines = [
    `StorePath: /nix/store/${hash}-${name}`,
    'URL: nar/some.nar.xz',
    'Compression: xz',
    `NarHash: ${narHash}`,
    `NarSize: ${narSize}`,
    `References: ${refs.join(' ')}`,
    ...sigs.map((each) => `Sig: ${formatSignature(each)}`),
    ...(ca === null ? [] : [`CA: ${ca}`]),
  ]
  const text = lines.map((line) => `${line}\n`).join('')
  return said.mutate?.(text) ?? text
}

/** A signature covers the NarHash in nix32, so that is how it is written. */
function narHashInNix32(nar: string): string {
  return formatHash(must(parseHash(narHashOf(nar))))
}
