import t from 'tap'
import { must } from '../nix/fixtures.ts'
import {
  broken,
  type Fields,
  flat,
  git,
  md5,
  plain,
  recursive,
  refused,
  sha1,
  sha512,
  signature,
  signed,
  type Summary,
  summary,
  text,
  trustedBy,
  verdictOn,
  withReferences,
  withSelf,
  wrongCa,
} from './claims.ts'
import { acmeKey, nixosKey, strangerKey } from './policies.ts'

type Row = readonly [title: string, fields: Fields, expected: Summary, upstream?: string]

const strongAddresses: readonly (readonly [string, Fields])[] = [
  ['a flat sha256', flat],
  ['a recursive sha256', recursive],
  ['a recursive sha256 with a reference to itself', withSelf],
  ['a recursive sha256 with references', withReferences],
  ['a text', text],
  ['a recursive sha512', sha512],
]
const contentAddresses = strongAddresses.flatMap(([kind, claim]): readonly Row[] => [
  [`${kind} that recomputes needs no signature`, claim, trustedBy(claim, 'CA', [])],
  [
    `${kind} that recomputes needs no keys of its upstream`,
    claim,
    trustedBy(claim, 'CA', []),
    'keyless',
  ],
  [
    `${kind} that recomputes is trusted beside a bad signature, which is not handed on`,
    { ...claim, sigs: [broken(signature(nixosKey, claim))] },
    trustedBy(claim, 'CA', ['bad-signature']),
  ],
  [
    `${kind} under a valid signature is vouched for by the key, and keeps its CA`,
    signed(claim, nixosKey),
    trustedBy(signed(claim, nixosKey), 'nixos-1', ['vouches']),
  ],
  [
    `${kind} under another upstream's signature proves itself, and hands the signature on`,
    signed(claim, acmeKey),
    trustedBy(signed(claim, acmeKey), 'CA', ['valid']),
  ],
])

const weakOrWrong: readonly Row[] = [
  ...[['md5', md5] as const, ['sha1', sha1] as const].flatMap(([kind, fields]): Row[] => [
    [`${kind} never proves itself`, fields, refused('weak-content-address')],
    [
      `${kind} with a bad signature is refused for its weakness`,
      { ...fields, sigs: [broken(signature(nixosKey, fields))] },
      refused('weak-content-address', 'bad-signature'),
    ],
    [
      `${kind} with an unknown key's signature is refused for its weakness`,
      signed(fields, strangerKey),
      refused('weak-content-address', 'unknown-key'),
    ],
    [
      `${kind} under a valid signature is trusted, and keeps its CA`,
      signed(fields, nixosKey),
      trustedBy(signed(fields, nixosKey), 'nixos-1', ['vouches']),
    ],
  ]),
  ['a CA that does not recompute is refused', wrongCa, refused('bad-content-address')],
  [
    'a CA that does not recompute is refused under an unknown key',
    signed(wrongCa, strangerKey),
    refused('bad-content-address', 'unknown-key'),
  ],
  [
    "a CA that does not recompute is refused under another upstream's key",
    signed(wrongCa, acmeKey),
    refused('bad-content-address', 'valid'),
  ],
  [
    'a CA that does not recompute is taken away under a valid signature',
    signed(wrongCa, nixosKey),
    trustedBy(signed(wrongCa, nixosKey), 'nixos-1', ['vouches'], { ca: null }),
  ],
  [
    'a CA of another name of the path does not recompute',
    { ...flat, baseName: `${flat.baseName}2` },
    refused('bad-content-address'),
  ],
  [
    'a CA without one of its references does not recompute',
    { ...withReferences, references: withReferences.references.slice(1) },
    refused('bad-content-address'),
  ],
  [
    'a CA with one reference more does not recompute',
    { ...recursive, references: plain.references.slice(1) },
    refused('bad-content-address'),
  ],
  [
    'a CA of the same digest by another method does not recompute',
    { ...recursive, ca: must(recursive.ca).replace('fixed:r:', 'fixed:') },
    refused('bad-content-address'),
  ],
  ...(['sha1', 'sha256'] as const).flatMap((algorithm): Row[] => [
    [
      `a git tree by ${algorithm} does not vouch: its content cannot be checked`,
      git(algorithm),
      refused('bad-content-address'),
    ],
    [
      `a git tree by ${algorithm} loses the field under a valid signature`,
      signed(git(algorithm), nixosKey),
      trustedBy(signed(git(algorithm), nixosKey), 'nixos-1', ['vouches'], { ca: null }),
    ],
  ]),
]

for (const [title, fields, expected, upstream] of [...contentAddresses, ...weakOrWrong]) {
  t.test(title, async (t) => {
    t.strictSame(summary(verdictOn(fields, upstream)), expected)
  })
}
