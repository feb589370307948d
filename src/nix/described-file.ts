import { type NarFileKey, parseNarFileName } from './nar-key.ts'

/** The NAR file of the store that a narinfo's `URL` names; `null` where it names none. */
export function describedFile(narinfo: string): NarFileKey | null {
  const name = /^URL: nar\/(.*)$/m.exec(narinfo)?.[1]
  return name === undefined ? null : parseNarFileName(name)
}
