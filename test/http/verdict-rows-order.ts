/** Who is asked, what is recalled, what is only reported, and who lied. */
import { absent, addressed, offer, refused, row, served, unknown } from './verdict-claims.ts'

const down = { status: 500 }
const byNixos = served('nixos', ['nixos-1', 'weir'])
const byAcme = served('acme', ['acme-1', 'weir'])
const blockedNixos = refused({ nixos: 'blocked' })

export const orderRows = {
  deny: [
    row('what a rule matches', { nixos: offer('nix-1', 'nixos') }, byNixos),
    row(
      'what no rule matches',
      { nixos: offer('hello-1', 'nixos') },
      refused({ nixos: 'upstream-not-allowed' }),
    ),
    row('whom no rule names is not asked', { acme: offer('nix-1', 'acme') }, absent, {
      notAsked: ['acme'],
    }),
    row(
      'what proves itself, matched',
      { keyless: addressed('strong', 'x-source') },
      {
        ...served('keyless', [], { hasCa: true }),
      },
    ),
    row(
      'what proves itself, unmatched',
      { keyless: addressed('strong', 'x-sources') },
      refused({ keyless: 'upstream-not-allowed' }),
    ),
  ],

  tiers: [
    row(
      'what the private upstream has is asked of nobody else',
      { vault: offer('secret-1', 'vault'), nixos: offer('secret-1', 'nixos') },
      served('vault', ['vault-1', 'weir']),
      { notAsked: ['nixos', 'acme', 'mirror'] },
    ),
    row(
      'what the first tier has is not asked of the second',
      { nixos: offer('hello-1', 'nixos'), acme: offer('hello-1', 'acme') },
      byNixos,
      { notAsked: ['acme', 'mirror'] },
    ),
    row('what only the second tier has', { acme: offer('hello-1', 'acme') }, byAcme),
    row(
      'what the first tier has and is refused',
      { nixos: offer('hello-1'), acme: offer('hello-1', 'acme') },
      byAcme,
    ),
    row(
      'while the private upstream is down nobody else is asked',
      { vault: down, nixos: offer('hello-1', 'nixos') },
      unknown('vault: status'),
      { notAsked: ['nixos', 'acme', 'mirror'] },
    ),
    row('an outage of the first tier', { nixos: down, acme: offer('hello-1', 'acme') }, byAcme),
    row('an outage, and nobody has it', { nixos: down }, unknown('nixos: status')),
    row('an optional outage, and nobody has it', { mirror: down }, absent),
    row('an optional malformed answer', { mirror: { raw: 'no narinfo' } }, absent),
    row(
      'an optional outage beside a refusal',
      { mirror: down, nixos: offer('hello-1') },
      {
        ...refused({ nixos: 'no-trusted-signature' }),
        body: 'refused: nixos: no-trusted-signature',
      },
    ),
    row(
      'two builders of two tiers agree',
      { nixos: offer('firefox-1', 'nixos'), acme: offer('firefox-1', 'acme') },
      byNixos,
    ),
    row(
      'one builder, and an outage of the other',
      { nixos: offer('firefox-1', 'nixos'), acme: down },
      unknown('acme: status'),
    ),
  ],

  recalls: [
    row('a recalled version', { nixos: offer('xz-5.6.1', 'nixos') }, blockedNixos),
    row('an output of it', { nixos: offer('xz-5.6.1-bin', 'nixos') }, blockedNixos),
    row('its derivation', { nixos: offer('xz-5.6.0.drv', 'nixos') }, blockedNixos),
    row('its source', { nixos: offer('xz-5.6.1.tar.gz', 'nixos') }, blockedNixos),
    row('a version that begins like it', { nixos: offer('xz-5.6.10', 'nixos') }, byNixos),
    row('another package', { nixos: offer('xz-utils-5.6.1', 'nixos') }, byNixos),
    row(
      'a recall outranks proof',
      { keyless: addressed('strong', 'xz-5.6.1') },
      {
        ...refused({ keyless: 'blocked' }),
      },
    ),
    row('a recall outranks belief', { open: offer('xz-5.6.1') }, refused({ open: 'blocked' })),
    row(
      'a recall holds for everybody',
      { nixos: offer('xz-5.6.1', 'nixos'), open: offer('xz-5.6.1') },
      refused({ nixos: 'blocked', open: 'blocked' }),
    ),
    row('a recalled hash', { nixos: offer('any-1', 'nixos') }, blockedNixos),
    row('a recalled path', { nixos: offer('recalled', 'nixos') }, blockedNixos),
    row('a recalled NAR', { nixos: { ...offer('any-1', 'nixos'), nar: 'recalled' } }, blockedNixos),
    row(
      'a recalled key, under another name',
      { acme: offer('any-1', 'acme') },
      refused({ acme: 'no-trusted-signature' }),
    ),
    row(
      'a recalled key beside a good one is not handed on',
      { nixos: offer('any-1', 'acme', 'nixos') },
      byNixos,
    ),
  ],

  report: [
    row('what the policy trusts', { nixos: offer('nix-1', 'nixos') }, byNixos),
    row(
      'another upstream than the rule names',
      { acme: offer('nix-1', 'acme') },
      served('acme', ['acme-1'], { wouldRefuse: 'upstream-not-allowed' }),
    ),
    row(
      'what no rule matches',
      { acme: offer('hello-1', 'acme') },
      served('acme', ['acme-1'], { wouldRefuse: 'upstream-not-allowed' }),
    ),
    row(
      'one builder of two',
      { nixos: offer('firefox-1', 'nixos') },
      served('nixos', ['nixos-1'], { wouldRefuse: 'no-agreement' }),
    ),
    row(
      'another key than the rule names',
      { acme: offer('audited-1', 'acme') },
      served('acme', ['acme-1'], { wouldRefuse: 'no-trusted-signature' }),
    ),
    row(
      'belief',
      { open: offer('hello-1') },
      served('open', [], { wouldRefuse: 'upstream-not-allowed' }),
    ),
    row('a recall holds all the same', { nixos: offer('xz-5.6.1', 'nixos') }, blockedNixos),
    row(
      'no signature is refused all the same',
      { nixos: offer('nix-1') },
      refused({ nixos: 'no-trusted-signature' }),
    ),
  ],

  lie: [
    row('before it', { acme: offer('hello-1', 'acme') }, byAcme),
    row(
      'a name of its own for the path of a better one, which answers last',
      { nixos: offer('nix-1', 'nixos'), acme: offer('acme-1', 'acme') },
      byNixos,
      { last: 'nixos', logs: 'upstream.suspended' },
    ),
    row('after it the liar is not asked', { acme: offer('hello-1', 'acme') }, absent, {
      notAsked: ['acme'],
    }),
    row('nor is what it said before it served', { acme: offer('hello-1', 'acme') }, absent, {
      label: 'before it',
      notAsked: ['acme'],
    }),
    row('others are served on', { nixos: offer('hello-1', 'nixos') }, byNixos),
  ],

  proof: [
    row('before it', { nixos: offer('hello-1', 'nixos') }, byNixos),
    row(
      'another name than a content address proves, from whomever',
      { keyless: addressed('strong', 'source'), nixos: offer('nix-1', 'nixos') },
      served('keyless', [], { hasCa: true }),
      { last: 'nixos', logs: 'upstream.suspended' },
    ),
    row(
      'after it the liar is not asked, however preferred',
      { nixos: offer('hello-1', 'nixos'), acme: offer('hello-1', 'acme') },
      byAcme,
      { notAsked: ['nixos'] },
    ),
  ],
}
