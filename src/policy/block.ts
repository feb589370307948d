import type { Narinfo } from '../nix/narinfo.ts'
import { formatHash } from '../nix/hash.ts'
import type { PublicKey } from '../nix/signature.ts'
import { packageOf, versionOf } from './package-name.ts'

/** What a recall is of. */
export type Blocked =
  /** `<hash>-<name>` */
  | { readonly kind: 'path'; readonly baseName: string }
  | { readonly kind: 'hash'; readonly hash: string }
  /** All versions where `versions` is `null`. */
  | {
      readonly kind: 'package'
      readonly package: string
      readonly versions: readonly string[] | null
    }
  /** By its bytes, whatever it is called. */
  | { readonly kind: 'key'; readonly key: PublicKey }
  /** `sha256:` and 52 nix32 characters. */
  | { readonly kind: 'nar-hash'; readonly narHash: string }

/** A recall: never served, whoever vouches for it. */
export type Block = { readonly blocked: Blocked; readonly reason: string }

/** The block that a claim falls under, whoever makes it; `null` where there is none. A blocked key blocks no path. */
export function blockOf(
  blocks: readonly Block[],
  { storePath, narHash }: Pick<Narinfo, 'storePath' | 'narHash'>,
): Block | null {
  if (blocks.length === 0) return null
  const packageName = packageOf(storePath.name)
  const narHashText = formatHash(narHash)
  return (
    blocks.find(({ blocked }) => {
      switch (blocked.kind) {
        case 'path':
          return blocked.baseName === storePath.baseName
        case 'hash':
          return blocked.hash === storePath.hash
        case 'package':
          return blocked.package === packageName && isBlockedVersion(blocked, storePath.name)
        case 'nar-hash':
          return blocked.narHash === narHashText
        case 'key':
          return false
      }
    }) ?? null
  )
}

/** The block that a hash falls under whatever is claimed of it; `null` where there is none. */
export function blockOfHash(blocks: readonly Block[], hash: string): Block | null {
  return (
    blocks.find(
      ({ blocked }) =>
        (blocked.kind === 'hash' && blocked.hash === hash) ||
        (blocked.kind === 'path' && blocked.baseName.startsWith(`${hash}-`)),
    ) ?? null
  )
}

/** The block that a name falls under by its package: of a build log, or an output, that comes without a claim. */
export function blockOfName(blocks: readonly Block[], name: string): Block | null {
  const packageName = packageOf(name)
  return (
    blocks.find(
      ({ blocked }) =>
        blocked.kind === 'package' &&
        blocked.package === packageName &&
        isBlockedVersion(blocked, name),
    ) ?? null
  )
}

/** Whether signatures by this key never count. */
export function isBlockedKey(blocks: readonly Block[], { bytes }: PublicKey): boolean {
  return blocks.some(
    ({ blocked }) => blocked.kind === 'key' && Buffer.compare(blocked.key.bytes, bytes) === 0,
  )
}

function isBlockedVersion(
  { versions }: Extract<Blocked, { kind: 'package' }>,
  name: string,
): boolean {
  const version = versionOf(name)
  return versions?.some((one) => isVersion(version, one)) ?? true
}

/** A version is itself, and itself continued by an output's name, `.drv` or an archive's ending. */
function isVersion(version: string, blocked: string): boolean {
  if (!version.startsWith(blocked)) return false
  const rest = version.slice(blocked.length)
  return rest === '' || rest.startsWith('-') || rest.startsWith('.drv') || rest.startsWith('.tar')
}
