import { z } from 'zod'
import { isKeyName } from '../nix/signature.ts'
import { quoteName } from './describe-found.ts'
import {
  choiceField,
  explainedField,
  listField,
  type Reading,
  textField,
  wholeNumberField,
} from './fields.ts'
import { packageField } from './package-field.ts'
import { parseUpstreamName, UPSTREAM_NAME_ALLOWED } from './upstream-schema.ts'

const NAME_ALLOWED = 'at most 200 printable characters, for people to know the rule by'
const GLOB_ALLOWED =
  'a glob over whole names of store paths, such as "acme-*": their characters, "*" and "?"'
const KEY_NAME_ALLOWED = 'the name of a key, such as "cache.nixos.org-1", without its bytes'

const rule = z
  .strictObject(
    {
      name: textField(NAME_ALLOWED, parseRuleName).describe(
        'What people know it by, in logs and explanations.',
      ),
      packages: listField(packageField({ sets: true }), 'a list of packages')
        .prefault([])
        .describe('The packages that it is for, literally, or sets such as `@critical`.'),
      paths: listField(textField(GLOB_ALLOWED, parseGlob), `a list; each entry ${GLOB_ALLOWED}`)
        .prefault([])
        .describe('Globs over the names of store paths: `*` for any characters, `?` for one.'),
      from: listField(
        textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName),
        'a list of names of upstreams',
      )
        .min(1, { error: 'at least one upstream; without from, all of them' })
        .optional()
        .describe('The upstreams that it may come from, most preferred first. Without it: any.'),
      signed_by: listField(explainedField(KEY_NAME_ALLOWED, readKeyName), 'a list of names of keys')
        .min(1, { error: "at least one key; without signed_by, any of the upstream's" })
        .optional()
        .describe("Names of the keys of which one must vouch. Without it: any of its upstream's."),
      agree: wholeNumberField(1, 9)
        .prefault(1)
        .describe('How many upstreams must say the same, with as many keys.'),
      on_divergence: choiceField(['serve', 'refuse'])
        .prefault('serve')
        .describe('Whether the preferred one is served where trusted upstreams differ.'),
    },
    { error: 'a table [[rule]]' },
  )
  .describe('What must hold for the paths of some names.')

/** The rules as they are written; none by default. */
export const rulesField = z
  .array(rule, { error: 'a list of tables: each is headed [[rule]], in double brackets' })
  .prefault([])
  .describe('What must hold for which paths; the first rule that matches decides.')

/** A rule whose keys have been checked one by one. */
export type WrittenRule = z.output<typeof rule>

function parseRuleName(text: string): string | null {
  return /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(text) && text.trim() !== '' ? text : null
}

function parseGlob(text: string): string | null {
  return /^[0-9a-zA-Z+._?=*-]{1,211}$/.test(text) ? text : null
}

function readKeyName(text: string): Reading<string> {
  if (isKeyName(text)) return { kind: 'value', value: text }
  const colon = text.indexOf(':')
  const found =
    colon > 0 ? `${quoteName(`${text.slice(0, colon)}:…`)}, which is more than a name` : null
  return { kind: 'mistake', found: found ?? quoteName(text), allowed: KEY_NAME_ALLOWED }
}
