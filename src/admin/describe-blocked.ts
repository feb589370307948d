import type { Blocked } from '../policy/block.ts'

/** What a recall is of, in a few words. */
export function describeBlocked(blocked: Blocked): string {
  switch (blocked.kind) {
    case 'path':
      return blocked.baseName
    case 'hash':
      return blocked.hash
    case 'package':
      return [`package ${blocked.package}`, ...(blocked.versions ?? [])].join(' ')
    case 'key':
      return `key ${blocked.key.name}`
    case 'nar-hash':
      return blocked.narHash
  }
}
