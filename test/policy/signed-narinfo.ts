import { fingerprint } from '../../src/nix/fingerprint.ts'
import { type Narinfo, formatNarinfo, parseNarinfo } from '../../src/nix/narinfo.ts'
import { type SecretKey, sign } from '../../src/nix/signature.ts'
import { parseStoreDir, type StoreDir } from '../../src/nix/store-path.ts'

/** The store of the tests. */
export const storeDir: StoreDir = must(parseStoreDir('/nix/store'))

/** An input-addressed narinfo without signatures, with the given lines in place of its own. */
export function plainNarinfo(lines: Readonly<Record<string, string>> = {}): string {
  const fields: Record<string, string> = {
    StorePath: '/nix/store/05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top',
    URL: 'nar/file.nar.xz',
    Compression: 'xz',
    FileHash: `sha256:${'0'.repeat(52)}`,
    FileSize: '100',
    NarHash: 'sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv',
    NarSize: '310288',
    References: 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep',
    ...lines,
  }
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')
}

/** The same narinfo with signatures by these keys. */
export function signed(text: string, ...keys: readonly SecretKey[]): string {
  const narinfo = parsed(text)
  const signatures = keys.map((key) => sign(key, fingerprint(narinfo, storeDir)))
  return formatNarinfo({ ...narinfo, signatures: [...narinfo.signatures, ...signatures] }, storeDir)
}

/** The narinfo that a text is; throws where it is none. */
export function parsed(text: string): Narinfo {
  const result = parseNarinfo(Buffer.from(text), storeDir)
  if (result.kind === 'malformed') throw new Error(`${result.field ?? ''}: ${result.reason}`)
  return result.narinfo
}

/** The value, which is not null. */
export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('there is no value')
  return value
}
