/** What rules make of claims that are fine by themselves. */
import { addressed, offer, refused, row, served } from './verdict-claims.ts'

const other = (...args: Parameters<typeof offer>) => ({ ...offer(...args), nar: 'two' })
const byNixos = served('nixos', ['nixos-1', 'weir'])
const byAcme = served('acme', ['acme-1', 'weir'])
const notAllowed = refused({ acme: 'upstream-not-allowed' })

export const ruleRows = [
  /* Which upstream. */
  row('nix, from whom the rule names', { nixos: offer('nix-2.18.1', 'nixos') }, byNixos, {
    rule: 'critical',
  }),
  row('nix, from another upstream', { acme: offer('nix-2.18.1', 'acme') }, notAllowed),
  row('nix, relayed by another upstream', { acme: offer('nix-2.18.1', 'nixos') }, notAllowed),
  row(
    'nix, content-addressed',
    { keyless: addressed('strong', 'nix-2.18.1') },
    {
      ...refused({ keyless: 'upstream-not-allowed' }),
    },
  ),
  row("nix's derivation", { acme: offer('nix-2.18.1.drv', 'acme') }, notAllowed),
  row('a name that is nix to Nix', { acme: offer('nix-_evil', 'acme') }, notAllowed),
  row('glibc, an output of it', { acme: offer('glibc-2.39-52-bin', 'acme') }, notAllowed),
  row('nix-unstable', { acme: offer('nix-unstable', 'acme') }, notAllowed),
  row('a name that begins like nix', { acme: offer('nixx-2.18.1', 'acme') }, byAcme),
  row('nix in other letters', { acme: offer('Nix-2.18.1', 'acme') }, byAcme),
  row(
    'nix, from both',
    { nixos: offer('nix-2.18.1', 'nixos'), acme: offer('nix-2.18.1', 'acme') },
    byNixos,
  ),
  row('our own, from us', { acme: offer('acme-site-1', 'acme') }, byAcme, { rule: 'ours' }),
  row(
    'our own, from another',
    { nixos: offer('acme-site-1', 'nixos') },
    refused({ nixos: 'upstream-not-allowed' }),
  ),
  row('a glob is anchored', { nixos: offer('not-acme-site-1', 'nixos') }, byNixos),
  row(
    "the rule's order of preference",
    { nixos: offer('reversed-1', 'nixos'), acme: offer('reversed-1', 'acme') },
    byAcme,
    { rule: 'reversed' },
  ),

  /* Which key. */
  row(
    'the key that the rule names, relayed',
    { acme: offer('audited-1', 'nixos') },
    served('acme', ['nixos-1', 'weir']),
  ),
  row(
    "the upstream's own key is not the rule's",
    { acme: offer('audited-1', 'acme') },
    refused({ acme: 'no-trusted-signature' }),
  ),
  row(
    "a content address is not the rule's key",
    { keyless: addressed('strong', 'audited-1') },
    refused({ keyless: 'no-trusted-signature' }),
  ),
  row(
    'an insecure upstream needs the key too',
    { open: offer('audited-1') },
    refused({ open: 'no-trusted-signature' }),
  ),
  row(
    'an unknown key, where the rule names one',
    { acme: offer('audited-1', 'stranger') },
    refused({ acme: 'unknown-key' }),
  ),

  /* Agreement. */
  row(
    'two builders that say the same',
    { nixos: offer('firefox-1', 'nixos'), acme: offer('firefox-1', 'acme') },
    byNixos,
    { rule: 'two builders' },
  ),
  row(
    'one builder of two',
    { nixos: offer('firefox-1', 'nixos') },
    refused({ nixos: 'no-agreement' }),
  ),
  row(
    'two builders that differ',
    { nixos: offer('firefox-1', 'nixos'), acme: other('firefox-1', 'acme') },
    refused({ nixos: 'no-agreement', acme: 'no-agreement' }),
  ),
  row(
    'a builder and a relay of its signature',
    { nixos: offer('firefox-1', 'nixos'), acme: offer('firefox-1', 'nixos') },
    refused({ nixos: 'no-agreement', acme: 'no-trusted-signature' }),
  ),
  row(
    'a builder, and one whom the rule does not name',
    { nixos: offer('firefox-1', 'nixos'), mirror: offer('firefox-1', 'mirror') },
    refused({ nixos: 'no-agreement', mirror: 'upstream-not-allowed' }),
  ),
  row(
    'a builder, and one that nobody vouches for',
    { nixos: offer('firefox-1', 'nixos'), open: offer('firefox-1') },
    refused({ nixos: 'no-agreement', open: 'no-agreement' }),
  ),
  row(
    'a content address that proves itself needs no second',
    { nixos: addressed('strong', 'firefox-source') },
    served('nixos', [], { hasCa: true }),
  ),
  row(
    'two upstreams that relay one signature',
    { nixos: offer('chromium-1', 'nixos'), acme: offer('chromium-1', 'nixos') },
    refused({ nixos: 'no-agreement', acme: 'no-agreement' }),
  ),
  row(
    'two upstreams that relay both signatures',
    { mirror: offer('chromium-1', 'nixos', 'acme'), second: offer('chromium-1', 'nixos', 'acme') },
    served('mirror', ['nixos-1', 'acme-1', 'weir']),
  ),
  row(
    'three of which two say the same: they win, however preferred the third',
    {
      nixos: other('brave-1', 'nixos'),
      acme: offer('brave-1', 'acme'),
      mirror: offer('brave-1', 'mirror'),
    },
    byAcme,
  ),
  row(
    'two groups of two',
    {
      nixos: offer('brave-1', 'nixos'),
      acme: offer('brave-1', 'acme'),
      mirror: other('brave-1', 'mirror'),
      second: other('brave-1', 'second'),
    },
    refused({
      nixos: 'divergence',
      acme: 'divergence',
      mirror: 'divergence',
      second: 'divergence',
    }),
  ),
  row(
    'claims that differ, where the rule refuses that',
    { nixos: offer('strict-1', 'nixos'), mirror: other('strict-1', 'mirror') },
    refused({ nixos: 'divergence', mirror: 'divergence' }),
  ),
  row(
    'claims that say the same, where the rule refuses divergence',
    { nixos: offer('strict-1', 'nixos'), mirror: offer('strict-1', 'mirror') },
    byNixos,
  ),
  row(
    'a refused claim is no divergence',
    { nixos: offer('strict-1', 'nixos'), mirror: other('strict-1', 'stranger') },
    byNixos,
  ),

  /* A name that is proved, though its claim is refused; what nobody signed is no lie. */
  row(
    'another name than the one that is proved',
    { keyless: addressed('strong', 'proved-1'), open: offer('harmless-1') },
    refused({ keyless: 'upstream-not-allowed', open: 'name-conflict' }),
  ),
]
