/**
 * The words of a NAR and their order, as a machine whose states are named after what comes next; `nar.ts` specifies the grammar.
 */
import { Buffer } from 'node:buffer'

/** What comes next in a NAR. */
export type NarState =
  | 'magic'
  | 'node'
  | 'type-key'
  | 'type'
  | 'file-key'
  | 'executable-value'
  | 'contents-key'
  | 'contents'
  | 'target-key'
  | 'target'
  | 'leaf-end'
  | 'directory'
  | 'entry'
  | 'name-key'
  | 'name'
  | 'node-key'
  | 'entry-end'
  | 'done'

/** A word, and what comes after it. */
export type NarRule = { readonly word: Uint8Array; readonly next: NarState }

const rule = (word: string, next: NarState): NarRule => ({
  word: Buffer.from(word, 'latin1'),
  next,
})

const magic = 'nix-archive-1'

/** The length of the longest word, in bytes. */
export const longestNarWord = magic.length

/** The words that a state accepts, and what comes after each; the states `contents`, `name`, `target` and `done` accept none. */
export const narRules: Readonly<Partial<Record<NarState, readonly NarRule[]>>> = {
  magic: [rule(magic, 'node')],
  node: [rule('(', 'type-key')],
  'type-key': [rule('type', 'type')],
  type: [
    rule('regular', 'file-key'),
    rule('directory', 'directory'),
    rule('symlink', 'target-key'),
  ],
  'file-key': [rule('contents', 'contents'), rule('executable', 'executable-value')],
  'executable-value': [rule('', 'contents-key')],
  'contents-key': [rule('contents', 'contents')],
  'target-key': [rule('target', 'target')],
  'leaf-end': [rule(')', 'entry-end')],
  directory: [rule('entry', 'entry'), rule(')', 'entry-end')],
  entry: [rule('(', 'name-key')],
  'name-key': [rule('name', 'name')],
  'node-key': [rule('node', 'node')],
  'entry-end': [rule(')', 'directory')],
}
