import { z } from 'zod'
import { explainedField, flagField, listField, textField, wholeNumberField } from './fields.ts'
import { parseHostPattern } from './host-name.ts'
import { publicKeysField } from './public-key-field.ts'
import { readUpstreamUrl, UPSTREAM_URL_ALLOWED } from './upstream-url.ts'

/** What the name of an upstream, or of a group of them, may be. */
export const UPSTREAM_NAME_ALLOWED =
  'at most 63 lower-case letters, digits and hyphens, beginning with a letter or digit'
const REDIRECT_HOST_ALLOWED = 'a host name, HOST:PORT or IP address, without scheme or path'

const NIXOS = {
  name: 'nixos',
  url: 'https://cache.nixos.org',
  keys: ['cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='],
}

const upstream = z
  .strictObject(
    {
      name: textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName).describe(
        'What Weir calls it in logs, metrics and rules; `import` is reserved.',
      ),
      url: explainedField(UPSTREAM_URL_ALLOWED, readUpstreamUrl).describe(
        'Its address, http or https, as in the substituters of a nix.conf.',
      ),
      keys: publicKeysField()
        .prefault([])
        .describe(
          'The public keys that may vouch for its paths; without any it gives only content-addressed paths.',
        ),
      optional: flagField()
        .prefault(false)
        .describe('Whether its outage counts as "does not have it" rather than as an error.'),
      tier: wholeNumberField(0, 9)
        .prefault(0)
        .describe('It is asked only where no upstream of a lower tier has a trusted path.'),
      private: flagField()
        .prefault(false)
        .describe(
          'Whether it is asked first and alone, so that no other learns the names it holds.',
        ),
      insecure_unsigned: flagField()
        .prefault(false)
        .describe('Whether its paths are trusted without a signature; Weir never signs them.'),
      equivalent: textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName)
        .optional()
        .describe('A group: of upstreams in the same one, whichever answers first is taken.'),
      redirect_hosts: listField(
        textField(REDIRECT_HOST_ALLOWED, parseHostPattern),
        `a list; each entry ${REDIRECT_HOST_ALLOWED}`,
      )
        .prefault([])
        .describe('Other hosts that it may redirect to, private addresses included.'),
    },
    { error: 'a table [[upstream]]' },
  )
  .describe('A binary cache that Weir asks.')

/** The upstreams as they are written; without any, cache.nixos.org. */
export const upstreamsField = z
  .array(upstream, { error: 'a list of tables: each is headed [[upstream]], in double brackets' })
  .min(1, { error: 'at least one upstream; without Weir there would be nothing to ask' })
  .prefault([NIXOS])
  .describe('The binary caches that Weir asks, in the order of preference.')

/** The name of an upstream, or of a group of them; null for any other text. */
export function parseUpstreamName(text: string): string | null {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(text) ? text : null
}
