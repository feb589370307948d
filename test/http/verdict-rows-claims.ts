/** What a claim is worth by itself: no rules, and a key for each of `nixos` and `acme`; `open` needs none. */
import { absent, addressed, offer, refused, row, served, unknown } from './verdict-claims.ts'

const webPage = '<html>\n<p>Log in: here</p>\n</html>\n'
const hello = offer('hello-1', 'nixos')

export const claimRows = [
  /* Signatures. */
  row("a signature by the upstream's key", { nixos: hello }, served('nixos', ['nixos-1', 'weir'])),
  row(
    "a signature by another upstream's key, from that one",
    { acme: offer('hello-1', 'acme') },
    served('acme', ['acme-1', 'weir']),
  ),
  row(
    "a signature by another upstream's key, relayed",
    { acme: hello },
    refused({ acme: 'no-trusted-signature' }),
  ),
  row('no signature', { nixos: offer('hello-1') }, refused({ nixos: 'no-trusted-signature' })),
  row(
    'a bad signature under a key that is held',
    { nixos: { ...offer('hello-1'), badBy: ['nixos'] } },
    refused({ nixos: 'no-trusted-signature' }),
  ),
  row(
    'a bad signature beside a good one',
    { nixos: { ...hello, badBy: ['nixos', 'acme'] } },
    served('nixos', ['nixos-1', 'weir']),
  ),
  row(
    'a signature by an unknown key',
    { nixos: offer('hello-1', 'stranger') },
    refused({ nixos: 'unknown-key' }),
  ),
  row(
    'a signature by an unknown key beside a good one',
    { nixos: offer('hello-1', 'stranger', 'nixos') },
    served('nixos', ['nixos-1', 'weir']),
  ),
  row(
    "another upstream's signature beside a good one",
    { nixos: offer('hello-1', 'acme', 'nixos') },
    served('nixos', ['acme-1', 'nixos-1', 'weir']),
  ),
  row(
    'a signature that is none',
    { nixos: { ...offer('hello-1'), mutate: (text) => `${text}Sig: nixos-1:AAAA\n` } },
    refused({ nixos: 'no-trusted-signature' }),
  ),
  row(
    'another NarSize than was signed',
    { nixos: { ...hello, mutate: (text) => text.replace('NarSize: 120', 'NarSize: 121') } },
    refused({ nixos: 'no-trusted-signature' }),
  ),
  row(
    'another name than was signed',
    { nixos: { ...hello, mutate: (text) => text.replace('-hello-1\n', '-hello-2\n') } },
    refused({ nixos: 'no-trusted-signature' }),
  ),
  row(
    'another reference than was signed',
    {
      nixos: {
        ...offer('hello-1', 'nixos'),
        references: [['dep', 'dep-1']],
        mutate: (text) => text.replace('-dep-1\n', '-dep-2\n'),
      },
    },
    refused({ nixos: 'no-trusted-signature' }),
  ),
  row(
    'nothing but a signature, from an upstream without keys',
    { keyless: hello },
    refused({ keyless: 'no-trusted-signature' }),
  ),

  /* Content addresses. */
  row(
    'a content address that proves itself is not signed by Weir before its NAR was seen',
    { keyless: addressed('strong', 'source') },
    served('keyless', [], { hasCa: true }),
  ),
  row(
    'a content address that proves itself, signed',
    { nixos: addressed('strong', 'source', 'nixos') },
    served('nixos', ['nixos-1', 'weir'], { hasCa: true }),
  ),
  row(
    'a content address that proves itself, signed by a key that may not vouch here',
    { keyless: addressed('strong', 'source', 'nixos') },
    served('keyless', ['nixos-1'], { hasCa: true }),
  ),
  row(
    'a content address of another path',
    { nixos: addressed('wrong', 'source') },
    refused({ nixos: 'bad-content-address' }),
  ),
  row(
    'a content address of another path, signed by an unknown key',
    { nixos: addressed('wrong', 'source', 'stranger') },
    refused({ nixos: 'bad-content-address' }),
  ),
  row(
    'a content address of another path, signed: it loses the field',
    { nixos: addressed('wrong', 'source', 'nixos') },
    served('nixos', ['nixos-1', 'weir'], { hasCa: false }),
  ),
  row(
    'a content address that its NarHash contradicts',
    { keyless: addressed('contradicts', 'source') },
    refused({ keyless: 'bad-content-address' }),
  ),
  row(
    'a content address that its NarHash contradicts, signed: it loses the field',
    { nixos: addressed('contradicts', 'source', 'nixos') },
    served('nixos', ['nixos-1', 'weir'], { hasCa: false }),
  ),
  row(
    'md5 proves nothing',
    { nixos: addressed('md5', 'source') },
    refused({ nixos: 'weak-content-address' }),
  ),
  row(
    'md5, signed',
    { nixos: addressed('md5', 'source', 'nixos') },
    served('nixos', ['nixos-1', 'weir'], { hasCa: true }),
  ),

  /* Insecure. */
  row(
    'an insecure upstream is believed, and Weir does not sign it',
    { open: offer('hello-1') },
    served('open', []),
  ),
  row(
    'an insecure upstream with the signature of a key that is held',
    { open: hello },
    served('open', ['nixos-1']),
  ),
  row(
    'an insecure upstream with a content address of another path',
    { open: addressed('wrong', 'source') },
    refused({ open: 'bad-content-address' }),
  ),

  /* Several upstreams. */
  row('nobody has it', {}, absent),
  row(
    'the preferred of two',
    { nixos: hello, acme: offer('hello-1', 'acme') },
    served('nixos', ['nixos-1', 'weir']),
  ),
  row(
    'the preferred of two that differ',
    { nixos: hello, acme: { ...offer('hello-1', 'acme'), nar: 'two' } },
    served('nixos', ['nixos-1', 'weir']),
  ),
  row(
    'the less preferred where the other is refused',
    { nixos: offer('hello-1'), acme: offer('hello-1', 'acme') },
    served('acme', ['acme-1', 'weir']),
  ),
  row(
    'all refused, each for its own reason',
    { nixos: offer('hello-1', 'stranger'), acme: offer('hello-1'), keyless: hello },
    refused({
      nixos: 'unknown-key',
      acme: 'no-trusted-signature',
      keyless: 'no-trusted-signature',
    }),
  ),

  /* What is no claim is unknown, not absent. */
  row(
    "another path's narinfo",
    { nixos: { ...hello, mutate: (text) => text.replace(/store\/.{4}/, 'store/0000') } },
    unknown("nixos: malformed, StorePath: is another path's"),
  ),
  row(
    "another store's narinfo",
    { nixos: { ...hello, mutate: (text) => text.replace('/nix/store', '/gnu/store') } },
    unknown('nixos: malformed, StorePath'),
  ),
  row('a web page', { nixos: { raw: webPage } }, unknown('nixos: malformed')),
  row('nothing at all', { nixos: { raw: '' } }, unknown('nixos: malformed, empty')),
  row(
    'a NAR above the limit, signed',
    { nixos: { ...hello, narSize: '99999999999999' } },
    unknown('nixos: malformed, NarSize'),
  ),
  row(
    'a web page beside a claim of a less preferred upstream',
    { nixos: { raw: webPage }, acme: offer('hello-1', 'acme') },
    served('acme', ['acme-1', 'weir']),
  ),
  row(
    'a web page beside a claim that is refused',
    { nixos: { raw: webPage }, acme: offer('hello-1') },
    unknown('acme: no-trusted-signature'),
  ),

  /* Names that references expect. */
  row(
    'a path with a reference',
    { nixos: { ...offer('top-1', 'nixos'), references: [['expected', 'lib-1']] } },
    served('nixos', ['nixos-1', 'weir']),
  ),
  row(
    'another name for a hash that a better upstream refers to',
    { acme: offer('harmless-1', 'acme') },
    refused({ acme: 'unexpected-name' }),
    { label: 'expected' },
  ),
]
