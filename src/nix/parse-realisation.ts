/**
 * Reading a realisation; realisation.ts has the format. UTF-8 JSON without a byte order mark. As Nix does, unknown fields are passed
 * over, both forms of a signature are read, and a missing `dependentRealisations` or `signatures` is an empty one; a signature that is
 * not well-formed is set aside.
 */
import { type DrvOutput, parseDrvOutput } from './drv-output.ts'
import { type Mapping, maxRealisationBytes, type Realisation } from './realisation.ts'
import { parseSignature, type Signature } from './signature.ts'
import { parseBaseName } from './store-path.ts'

/** The most signatures that a realisation may have, malformed ones included. */
export const maxRealisationSignatures = 64

/** The most dependent realisations that one may name. */
export const maxDependents = 512

/** A realisation, or why the bytes are none: the field at fault, null for the whole, and a short English clause. */
export type ParsedRealisation =
  | { readonly kind: 'ok'; readonly realisation: Realisation }
  | { readonly kind: 'malformed'; readonly field: string | null; readonly reason: string }

type Malformed = Extract<ParsedRealisation, { kind: 'malformed' }>
type Fields = ReadonlyMap<string, unknown>

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads the bytes that a cache has in the file of `asked`; never throws. Where the JSON names its output itself, it may name another
 * one than that: it is for the reader to compare.
 */
export function parseRealisation(bytes: Uint8Array, asked: DrvOutput): ParsedRealisation {
  if (bytes.length > maxRealisationBytes) {
    return malformed(null, `longer than ${maxRealisationBytes} bytes`)
  }
  const fields = decodeObject(bytes)
  if (fields === null) return malformed(null, 'not a JSON object')
  const outPath = readBaseName(fields.get('outPath'))
  if (outPath === null) return malformed('outPath', 'not the base name of a store path')
  const signatures = readSignatures(fields.get('signatures'))
  if ('kind' in signatures) return signatures
  if (asked.kind === 'by-path') {
    return { kind: 'ok', realisation: { output: asked, outPath, dependents: [], signatures } }
  }
  const output = readOutput(fields.get('id'))
  if (output === null) return malformed('id', 'not sha256:, 64 hex digits, ! and an output')
  const dependents = readDependents(fields.get('dependentRealisations'))
  if ('kind' in dependents) return dependents
  return { kind: 'ok', realisation: { output, outPath, dependents, signatures } }
}

function decodeObject(bytes: Uint8Array): Fields | null {
  try {
    return fieldsOf(JSON.parse(utf8.decode(bytes)))
  } catch {
    return null
  }
}

/** A map, so that no key means anything but itself. */
function fieldsOf(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : null
}

function readBaseName(value: unknown) {
  return typeof value === 'string' ? parseBaseName(value) : null
}

function readOutput(value: unknown): DrvOutput | null {
  return typeof value === 'string' ? parseDrvOutput(value) : null
}

function readSignatures(value: unknown): readonly Signature[] | Malformed {
  if (value === undefined) return []
  if (!Array.isArray(value)) return malformed('signatures', 'not an array')
  if (value.length > maxRealisationSignatures) {
    return malformed('signatures', `more than ${maxRealisationSignatures}`)
  }
  return value.flatMap((entry) => {
    const text = signatureText(entry)
    const signature = text === null ? null : parseSignature(text)
    return signature === null ? [] : [signature]
  })
}

function signatureText(entry: unknown): string | null {
  if (typeof entry === 'string') return entry
  const fields = fieldsOf(entry)
  const keyName = fields?.get('keyName')
  const sig = fields?.get('sig')
  return typeof keyName === 'string' && typeof sig === 'string' ? `${keyName}:${sig}` : null
}

function readDependents(value: unknown): readonly Mapping[] | Malformed {
  if (value === undefined) return []
  const fields = fieldsOf(value)
  if (fields === null) return malformed('dependentRealisations', 'not an object')
  if (fields.size > maxDependents) {
    return malformed('dependentRealisations', `more than ${maxDependents}`)
  }
  const dependents: Mapping[] = []
  for (const [id, path] of fields) {
    const output = parseDrvOutput(id)
    const outPath = readBaseName(path)
    if (output === null || outPath === null) {
      return malformed('dependentRealisations', 'maps something else than outputs to base names')
    }
    dependents.push({ output, outPath })
  }
  return dependents
}

function malformed(field: string | null, reason: string): Malformed {
  return { kind: 'malformed', field, reason }
}
