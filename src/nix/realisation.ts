/**
 * Realisations: which store path an output of a derivation turned out to be. JSON, as a binary cache has it:
 *
 *   Nix 2.4 – 2.34   {"dependentRealisations":{id:base name, …},"id":id,"outPath":base name,"signatures":["name:base64", …]}
 *   Nix ≥ 2.35       {"outPath":base name,"signatures":[{"keyName":name,"sig":base64}, …]}    the rest is in the file's name
 *
 * What a signature covers is the JSON without its signatures, without white space, keys in bytewise order:
 *
 *   Nix 2.4 – 2.34   {"dependentRealisations":{id:base name, …},"id":id,"outPath":base name}
 *   Nix ≥ 2.35       {"key":{"drvPath":base name,"outputName":output},"value":{"outPath":base name}}
 *
 * The dependent realisations are always part of it, `{}` where there are none; the last versions before 2.35 write nothing else.
 */
import { encodeBase64 } from './base64.ts'
import type { DrvOutput } from './drv-output.ts'
import { formatSignature, type Signature } from './signature.ts'
import type { StorePath } from './store-path.ts'

/** The longest realisation that is read, in bytes. */
export const maxRealisationBytes = 64 * 1024

/** Says that an output of a derivation is this store path. */
export type Mapping = { readonly output: DrvOutput; readonly outPath: StorePath }

/** What a binary cache claims about an output. */
export type Realisation = Mapping & {
  /** The outputs that it was built from, and what they were; always empty for outputs that are named by path. */
  readonly dependents: readonly Mapping[]
  /** The well-formed ones, in the order given. */
  readonly signatures: readonly Signature[]
}

/** The message that a signature of this realisation signs. */
export function realisationFingerprint(realisation: Omit<Realisation, 'signatures'>): string {
  const { output, outPath } = realisation
  switch (output.kind) {
    case 'by-hash':
      return JSON.stringify(keyedFields(realisation))
    case 'by-path':
      return JSON.stringify({
        key: { drvPath: output.derivation.baseName, outputName: output.outputName },
        value: { outPath: outPath.baseName },
      })
  }
}

/** The realisation as Nix writes it, in the form of its output's kind. */
export function formatRealisation(realisation: Realisation): string {
  const { output, outPath, signatures } = realisation
  switch (output.kind) {
    case 'by-hash':
      return JSON.stringify({
        ...keyedFields(realisation),
        signatures: signatures.map((signature) => formatSignature(signature)),
      })
    case 'by-path':
      return JSON.stringify({
        outPath: outPath.baseName,
        signatures: signatures.map(({ keyName, bytes }) => ({
          keyName,
          sig: encodeBase64(bytes),
        })),
      })
  }
}

/** Keys in the order of their bytes; ids begin with `sha256:`, so that no object reorders them as numbers. */
function keyedFields({ output, outPath, dependents }: Omit<Realisation, 'signatures'>) {
  const pairs = dependents.map(({ output, outPath }) => [output.id, outPath.baseName] as const)
  pairs.sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    dependentRealisations: Object.fromEntries(pairs),
    id: output.id,
    outPath: outPath.baseName,
  }
}
