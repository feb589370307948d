import { z } from 'zod'
import {
  durationField,
  explainedField,
  flagField,
  listField,
  pathField,
  textField,
  wholeNumberField,
} from './fields.ts'
import { parseHostPattern } from './host-name.ts'
import { headersField } from './header-template.ts'
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

const credentials = {
  token_file: pathField()
    .optional()
    .describe(
      'A file with the token that it is to see as `Authorization: Bearer`; read on change.',
    ),
  user: textField('a user name, without ":"', parseUser)
    .optional()
    .describe('The user that it knows Weir as (`Authorization: Basic`).'),
  password_file: pathField()
    .optional()
    .describe("The file of the user's password; read on change."),
  headers: headersField
    .prefault({})
    .describe(
      'Further headers for it; `{file:/PATH}` and `{env:NAME}` in them stand for what is there.',
    ),
  ca_file: pathField()
    .optional()
    .describe('Certificates (PEM) of authorities that may vouch for it, besides the usual ones.'),
  certificate_file: pathField()
    .optional()
    .describe("Weir's own certificate (PEM), for an upstream that asks for one."),
  certificate_key_file: pathField().optional().describe("The certificate's secret key (PEM)."),
}

const limits = {
  connect_timeout: durationField(1).optional().describe('Instead of `timeouts.connect`.'),
  headers_timeout: durationField(1).optional().describe('Instead of `timeouts.headers`.'),
  idle_timeout: durationField(1).optional().describe('Instead of `timeouts.idle`.'),
  narinfo_timeout: durationField(1).optional().describe('Instead of `timeouts.narinfo`.'),
  negative_ttl: durationField(0)
    .prefault('30s')
    .describe('How long it is not asked again for a path that it did not have.'),
  max_connections: wholeNumberField(1, 1000)
    .prefault(32)
    .describe('How many connections to each of its hosts there may be.'),
}

const upstream = z
  .strictObject(
    {
      name: textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName).describe(
        'What Weir calls it in logs, metrics and rules; `import` is reserved.',
      ),
      url: explainedField(UPSTREAM_URL_ALLOWED, readUpstreamUrl).describe(
        'Its address: http, https, s3 or file, as in the substituters of a nix.conf, or `cachix:NAME`.',
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
      absent_on_403: flagField()
        .prefault(false)
        .describe(
          'Whether its answer 403 says that it does not have a path, as of a bucket that may not be listed; else it could not tell.',
        ),
      equivalent: textField(UPSTREAM_NAME_ALLOWED, parseUpstreamName)
        .optional()
        .describe('A group: of upstreams in the same one, whichever answers first is taken.'),
      redirect_hosts: listField(
        textField(REDIRECT_HOST_ALLOWED, parseHostPattern),
        `a list; each entry ${REDIRECT_HOST_ALLOWED}`,
      )
        .prefault([])
        .describe('Other hosts that it may redirect to, private addresses included.'),
      mirrors: listField(
        explainedField(UPSTREAM_URL_ALLOWED, readUpstreamUrl),
        `a list; each entry ${UPSTREAM_URL_ALLOWED}`,
      )
        .prefault([])
        .describe('Further addresses of the same cache, with the same keys, for when it is slow.'),
      ...credentials,
      ...limits,
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

function parseUser(text: string): string | null {
  return /^[^:\p{Cc}]{1,255}$/u.test(text) ? text : null
}
