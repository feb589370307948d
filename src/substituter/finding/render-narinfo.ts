import type { DecodableCompression } from '../../nix/compression.ts'
import { fingerprint } from '../../nix/fingerprint.ts'
import { formatNarinfo } from '../../nix/format-narinfo.ts'
import { formatHash, type Hash, parseHash } from '../../nix/hash.ts'
import { type NarKey, narFileName } from '../../nix/nar-key.ts'
import type { Narinfo } from '../../nix/narinfo.ts'
import { type SecretKey, sign, type Signature } from '../../nix/signature.ts'
import type { StoreDir } from '../../nix/store-path.ts'
import type { TrustedVerdict } from '../../policy/verdict.ts'
import type { MaySign } from '../../policy/views.ts'

/** Whose signatures an answer carries: the upstreams' and Weir's, only Weir's, or only the upstreams'. */
export type SigningMode = 'add' | 'replace' | 'keep'

export type Signing = { readonly mode: SigningMode; readonly key: SecretKey }

/** How one answer is signed: `maySign` says whether Weir may put its own name to it. */
export type AnswerSigning = Signing & { readonly maySign: MaySign }

/** How a narinfo in the cache folder is signed: it keeps the upstreams' signatures in every mode. */
export function storedSigning({ mode, key }: Signing): Signing {
  return { mode: mode === 'replace' ? 'add' : mode, key }
}

/** What an answer's URL names: a representation of the NAR. */
export type NamedFile = {
  readonly compression: DecodableCompression
  /** `null` before there is such a file. */
  readonly file: { readonly fileHash: string; readonly fileBytes: number } | null
  /** Whether the NAR was seen, in this representation or another one, and is as promised. */
  readonly isNarVerified: boolean
}

/** The NAR that a trusted claim speaks of. */
export function narKeyOf(narinfo: Pick<Narinfo, 'storePath' | 'narHash'>): NarKey {
  const text = formatHash(narinfo.narHash)
  return { storePathHash: narinfo.storePath.hash, narHash: text.slice(text.indexOf(':') + 1) }
}

/** The narinfo that Weir answers for a trusted claim, whose NAR is the file that is named. */
export function renderNarinfo(
  verdict: TrustedVerdict,
  storeDir: StoreDir,
  signing: AnswerSigning,
  named: NamedFile,
): string {
  const { narinfo } = verdict
  const { compression, file, isNarVerified } = named
  return formatNarinfo(
    {
      ...narinfo,
      url: `nar/${narFileName({ ...narKeyOf(narinfo), compression })}`,
      compression,
      fileHash: file === null ? null : parsedFileHash(file.fileHash),
      fileSize: file === null ? null : BigInt(file.fileBytes),
      signatures: signatures(verdict, storeDir, signing, { isNarVerified }),
    },
    storeDir,
  )
}

function signatures(
  { narinfo }: TrustedVerdict,
  storeDir: StoreDir,
  { mode, key, maySign }: AnswerSigning,
  { isNarVerified }: Pick<NamedFile, 'isNarVerified'>,
): readonly Signature[] {
  if (mode === 'keep') return narinfo.signatures
  // A signature does not cover CA. Signed before its NAR was seen, a path that only its content address proves could
  // be passed on with its CA cut off and any NarHash.
  const mayVouch = maySign === 'always' || (maySign === 'once-verified' && isNarVerified)
  const own = mayVouch ? [sign(key, fingerprint(narinfo, storeDir))] : []
  return mode === 'replace' ? own : [...narinfo.signatures, ...own]
}

function parsedFileHash(text: string): Hash {
  const hash = parseHash(text)
  if (hash === null) throw new TypeError('a stored FileHash is a hash')
  return hash
}
