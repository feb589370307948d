/**
 * A file of cases for a policy: TOML, [[case]] tables and nothing else.
 *
 *   [[case]]
 *   name = "acme's cache cannot vouch for nix"
 *   path = "nix-2.18.1"                          the name of the store path that is asked for
 *   down = ["nixos"]                             upstreams that could not tell; all others that claim nothing say absent
 *   claims = [{ upstream = "acme", signed_by = ["acme.cachix.org-1"] }]
 *   expect = { verdict = "refused", upstream = "acme", reason = "upstream-not-allowed", rule = "…" }
 *
 * A claim may also have: nar = "a" (claims differ where this label does), name = "…" (a lying name), references = ["glibc-2.39"],
 * content_addressed = true | "wrong" | "md5", signature = "bad".
 */
import { z } from 'zod'
import { isKeyName } from '../nix/signature.ts'
import { parseBaseName } from '../nix/store-path.ts'
import { choiceField, listField, textField } from '../settings/fields.ts'
import { parseUpstreamName, UPSTREAM_NAME_ALLOWED } from '../settings/upstream-schema.ts'
import { refusalReasons } from './refusal-reasons.ts'

const PATH_ALLOWED = 'the name of a store path, such as "nix-2.18.1", without directory and hash'
const LABEL_ALLOWED =
  'a label of at most 100 characters: claims with the same label have the same NAR'
const ADDRESS_ALLOWED = 'true, "wrong" or "md5"'

const upstreamName = () => textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName)
const pathName = () => textField(PATH_ALLOWED, parsePathName)

const claim = z.strictObject(
  {
    upstream: upstreamName().describe('The upstream that claims to have the path.'),
    signed_by: listField(
      textField('the name of a key, such as "cache.nixos.org-1"', (text) =>
        isKeyName(text) ? text : null,
      ),
      'a list of names of keys',
    )
      .prefault([])
      .describe(
        'Names of the keys that signed it; one that the policy does not know is a stranger.',
      ),
    signature: choiceField(['good', 'bad'])
      .prefault('good')
      .describe('`bad`: the signatures do not verify.'),
    nar: textField(LABEL_ALLOWED, (text) => (/^.{1,100}$/.test(text) ? text : null))
      .prefault('a')
      .describe('A label: claims differ where it does.'),
    name: pathName().optional().describe("Another name than the path's: a lie."),
    references: listField(pathName(), 'a list of names of store paths').prefault([]),
    content_addressed: z
      .union([z.boolean(), z.enum(['wrong', 'md5'])], { error: ADDRESS_ALLOWED })
      .prefault(false)
      .describe(
        'Whether it has a content address that proves the path; `wrong` does not, `md5` is weak.',
      ),
  },
  { error: 'a claim, { upstream = "…", … }' },
)

const expectation = z.strictObject(
  {
    verdict: choiceField(['trusted', 'refused', 'absent', 'unknown']),
    upstream: upstreamName()
      .optional()
      .describe('Whose claim is served, or refused, or which upstream could not tell.'),
    reason: choiceField(refusalReasons).optional().describe('Why it is refused.'),
    rule: z
      .string({ error: 'the name of a rule, or "" where none matches' })
      .optional()
      .describe('The rule that decides; empty where none matches.'),
  },
  { error: 'what is expected, { verdict = "…", … }' },
)

const policyCase = z.strictObject(
  {
    name: textField('at most 200 printable characters', (text) =>
      /^[^\p{C}\p{Zl}\p{Zp}]{1,200}$/u.test(text) ? text : null,
    ),
    path: pathName(),
    claims: listField(claim, 'a list of claims, [{ upstream = "…", … }, …]').prefault([]),
    down: listField(upstreamName(), 'a list of names of upstreams').prefault([]),
    expect: expectation,
  },
  { error: 'a table [[case]]' },
)

/** A whole file. */
export const caseFileSchema = z.strictObject(
  {
    case: z
      .array(policyCase, { error: 'a list of tables: each is headed [[case]], in double brackets' })
      .min(1, { error: 'at least one [[case]]' }),
  },
  { error: 'a list of [[case]] tables' },
)

/** What is asked, who says what, and what should come of it. */
export type PolicyCase = z.output<typeof policyCase>
export type CaseClaim = z.output<typeof claim>

function parsePathName(text: string): string | null {
  return parseBaseName(`${'0'.repeat(32)}-${text}`)?.name ?? null
}
