/**
 * What a realisation is about: one output of one derivation, named in one of two ways.
 *
 *   Nix 2.4 – 2.34   id = "sha256:" 64 hex digits "!" output    file = "realisations/" id ".doi"
 *   Nix ≥ 2.35       id = derivation "^" output                 file = "build-trace-v2/" derivation "/" output ".doi"
 *   derivation = the base name of a `.drv`
 *   output     = 1 – 211 of [0-9a-zA-Z+._=-]
 *
 * The hash is the derivation's "modulo" its fixed-output inputs: it says nothing about the derivation's name. Nix would take a `?`
 * in the names as well; here it is refused, since in a URL it begins the query.
 */
import { parseBaseName, type StorePath } from './store-path.ts'

/** An output of a derivation; `id` is its whole text, as Nix writes it, and different for different outputs. */
export type DrvOutput =
  | { readonly kind: 'by-hash'; readonly id: string; readonly outputName: string }
  | {
      readonly kind: 'by-path'
      readonly id: string
      readonly outputName: string
      readonly derivation: StorePath
    }

const byHashPattern = /^sha256:[0-9a-f]{64}!([0-9a-zA-Z+._=-]{1,211})$/
const outputNamePattern = /^[0-9a-zA-Z+._=-]{1,211}$/
const filePattern = /^(realisations|build-trace-v2)\/(.*)\.doi$/s

/** The output that an id such as `sha256:…!out` names, or null. */
export function parseDrvOutput(id: string): DrvOutput | null {
  const outputName = byHashPattern.exec(id)?.[1]
  return outputName === undefined ? null : { kind: 'by-hash', id, outputName }
}

/** The output whose realisation is in a file of a binary cache, or null for any other file. */
export function parseDrvOutputFile(file: string): DrvOutput | null {
  const [, folder, name = ''] = filePattern.exec(file) ?? []
  if (folder === undefined) return null
  if (folder === 'realisations') return parseDrvOutput(name)
  const slash = name.indexOf('/')
  const derivation = slash === -1 ? null : parseBaseName(name.slice(0, slash))
  const outputName = name.slice(slash + 1)
  if (derivation === null || !isDerivation(derivation) || !outputNamePattern.test(outputName)) {
    return null
  }
  return { kind: 'by-path', id: `${derivation.baseName}^${outputName}`, outputName, derivation }
}

/** The file in which a binary cache has the realisation of an output. */
export function drvOutputFile(output: DrvOutput): string {
  switch (output.kind) {
    case 'by-hash':
      return `realisations/${output.id}.doi`
    case 'by-path':
      return `build-trace-v2/${output.derivation.baseName}/${output.outputName}.doi`
  }
}

/** The name that the output's path must have (Nix's `outputPathName`), or null where nothing is known of the derivation. */
export function outputPathName(output: DrvOutput): string | null {
  if (output.kind === 'by-hash') return null
  const name = output.derivation.name.slice(0, -'.drv'.length)
  return output.outputName === 'out' ? name : `${name}-${output.outputName}`
}

function isDerivation({ name }: StorePath): boolean {
  return name.endsWith('.drv') && name !== '.drv' && !name.includes('?')
}
