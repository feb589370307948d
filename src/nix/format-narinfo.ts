/**
 * Writing a narinfo: the fields in Nix's own order, every line ended by a newline, empty references as `References: ` with the
 * space (without it old clients swallow the next line). `parse-narinfo.ts` specifies the text.
 */
import { formatContentAddress } from './content-address.ts'
import { formatHash } from './hash.ts'
import type { Narinfo } from './narinfo.ts'
import { formatSignature } from './signature.ts'
import { type StoreDir, formatStorePath } from './store-path.ts'

/** A narinfo as text; absent optional fields are left out, and so are malformed signatures, since they abort clients. */
export function formatNarinfo(narinfo: Narinfo, storeDir: StoreDir): string {
  const { fileHash, fileSize, deriver, ca } = narinfo
  const fields: (readonly [string, string])[] = [
    ['StorePath', formatStorePath(narinfo.storePath, storeDir)],
    ['URL', narinfo.url],
    ['Compression', narinfo.compression],
  ]
  if (fileHash !== null) fields.push(['FileHash', formatHash(fileHash)])
  if (fileSize !== null) fields.push(['FileSize', fileSize.toString()])
  fields.push(
    ['NarHash', formatHash(narinfo.narHash)],
    ['NarSize', narinfo.narSize.toString()],
    ['References', narinfo.references.map((reference) => reference.baseName).join(' ')],
  )
  if (deriver !== null) fields.push(['Deriver', deriver.baseName])
  for (const signature of narinfo.signatures) fields.push(['Sig', formatSignature(signature)])
  if (ca !== null) fields.push(['CA', formatContentAddress(ca)])
  fields.push(...narinfo.unknownFields)
  return fields.map(([key, value]) => `${key}: ${value}\n`).join('')
}
