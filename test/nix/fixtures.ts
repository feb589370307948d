/** What Nix 2.8 itself wrote: narinfos, keys and NARs of a small signed cache. */
import { Buffer } from 'node:buffer'
import { gunzipSync } from 'node:zlib'
import { parseBaseName, parseStoreDir, parseStorePathHash } from '../../src/nix/store-path.ts'

/** The value, unless it is null: fixtures are well-formed. */
export function must<Value>(value: Value | null | undefined): Value {
  if (value === null || value === undefined) throw new TypeError('a fixture is not well-formed')
  return value
}

export const storeDir = must(parseStoreDir('/nix/store'))

export const path = (baseName: string) => must(parseBaseName(baseName))

export const pathHash = (text: string) => must(parseStorePathHash(text))

/** The key pair that signed the narinfos below; made for tests, and public. */
export const labPublicKey = 'lab.test-1:LTJR2qbqsCXBkDTckuVEnCEw6jYG/+m5uaCisuTpY+E='
export const labSecretKey =
  'lab.test-1:Q9yUTJk7ecx2V2bCeUsLtA3wBhk824hHVZhr9ir8haotMlHapuqwJcGQNNyS5UScITDqNgb/6bm5oKKy5Olj4Q=='

/** Input-addressed, with a reference to itself and another. */
export const topNarinfo = `StorePath: /nix/store/05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top
URL: nar/05c5cp03iil5qlgz1mq6wmwzg176j6ksp2d5ky0nlyqz6wwvsyrj.nar.xz
Compression: xz
FileHash: sha256:05c5cp03iil5qlgz1mq6wmwzg176j6ksp2d5ky0nlyqz6wwvsyrj
FileSize: 309128
NarHash: sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv
NarSize: 310288
References: 05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep
Deriver: 2xjx36wr0cbxvfjbhn4k2dni6j0li1w3-top.drv
Sig: lab.test-1:H+BnPi5p0RjXiLJjiGszOFL1dG4DTtudsNonor2rEQSQGk6ZzXVja7/TDOemvEm5C+9QmqsOFkNRJeZSb8EJBw==
`

/** Content-addressed by the NAR, with a reference to itself. */
export const selfNarinfo = `StorePath: /nix/store/gszi1nxgyf69xnd84jqyry5yjhqfmnfr-cadrv
URL: nar/17nc4ql8klrfn2klf6i70761r0zvggjyxxihq6dc0xv0nzqz6xvc.nar.xz
Compression: xz
FileHash: sha256:17nc4ql8klrfn2klf6i70761r0zvggjyxxihq6dc0xv0nzqz6xvc
FileSize: 212
NarHash: sha256:0y2pc4gfpcpnqs0fk7ki24slri9jbw8ig26r400waz0kl6ani4lg
NarSize: 336
References: gszi1nxgyf69xnd84jqyry5yjhqfmnfr-cadrv
Deriver: 00wh4lb6xdsgfjzw71b4w397av3ylhkl-cadrv.drv
Sig: lab.test-1:ebl7sXJ44ONjS2p9HabmfO1P5GUt+QyzHgDVsqH1jYIY15ku8xevtj5v1beZZ3odngqMFI3271U2+wPTJ5FQCg==
CA: fixed:r:sha256:18nrsqhkazc4vfyn8gn0kw60psmf29197n1hf96afkpyqyha06bx
`

/** Content-addressed as a text, with a reference. */
export const textNarinfo = `StorePath: /nix/store/znxqmg2gpxv390dqiwm0ih780xzz2j87-txt
URL: nar/075s6jrvd5xw0556f6dyz38jr54vww25ifk0v080dkc6p5iabrqg.nar.xz
Compression: xz
FileHash: sha256:075s6jrvd5xw0556f6dyz38jr54vww25ifk0v080dkc6p5iabrqg
FileSize: 176
NarHash: sha256:17vwd0kz70gdhkyp3h79i61j0r3krv9dcsxh9mdhadib2k664lbp
NarSize: 168
References: kxpjfcqpacck1wnbrgsm4f82qbxnrqvk-inner
Sig: lab.test-1:1yz+3a/driJxGOY778xaLN5Zuaxofd9RqtwTybR3CXXJdImXdUzWdkNLlVLPG/a3cO5NkAOwl8gSrOTZNdxDBg==
CA: text:sha256:1gp9yi5l7jbp8m75h1xljz0lsj016h87zlv1y95pjfmxq8daix7b
`

/** Content-addressed without references: `References: ` ends in a space. */
export const treeNarinfo = `StorePath: /nix/store/igcbqp1gvd7r0jlb1ndlwaqmzyqcavpa-tree
URL: nar/0l5llp4zhxzaxi8730xn6kkpsd7f3qlcc54gbrcdxipw6hmmdihq.nar.xz
Compression: xz
FileHash: sha256:0l5llp4zhxzaxi8730xn6kkpsd7f3qlcc54gbrcdxipw6hmmdihq
FileSize: 256
NarHash: sha256:16xd5fif5q3wgqbwa1xwzkhi5006nxi1zzxizj20k9v96r7fs30y
NarSize: 1072
References: ${''}
Sig: lab.test-1:klcjRjKY77VUlswW7/Zruf/COy524zQoj7cZtbvt+07fQhInW5nj8xvCVCYs+jd2AvzHX09l1Bd6ZtuZXDo/Bg==
CA: fixed:r:sha256:16xd5fif5q3wgqbwa1xwzkhi5006nxi1zzxizj20k9v96r7fs30y
`

export const narinfos = { topNarinfo, selfNarinfo, textNarinfo, treeNarinfo }

/** Base name, references and CA of paths that Nix content-addressed, one for each method and algorithm. */
export const contentAddressed = [
  [
    'hcwnqvg4x44j20wdbmarxjrwxvdbnsiw-hello.txt',
    [],
    'fixed:sha256:1lv6s1pq6abfkc2r074gg2m58xa925ciymyir3xr6m1ww4q0lldb',
  ],
  ['dgj9131idsrfhvdp5c8frjd0zyflajz1-hello.txt', [], 'fixed:md5:5f5xlyn9r2mrh3hi6ymik5cmg2'],
  [
    's74hzimwndhx7sxjzdl777i6cgvd0vgl-fodsha1r',
    [],
    'fixed:r:sha1:wky5hhdjb1ljygf1vczhk08wika96rbr',
  ],
  [
    'b408dmlwmqj9icfxbcy8nsjxq7zq83nk-tree',
    [],
    'fixed:r:sha512:1fr8h2f532q44wlb1x7p4vlj8v6nyjrz8vn63xw5z459ps5xbjd1r1q55dkwl14g77phyw4z8mwn4iw3lprqh66fr2q4big83mr6z6l',
  ],
  [
    'igcbqp1gvd7r0jlb1ndlwaqmzyqcavpa-tree',
    [],
    'fixed:r:sha256:16xd5fif5q3wgqbwa1xwzkhi5006nxi1zzxizj20k9v96r7fs30y',
  ],
  [
    'gszi1nxgyf69xnd84jqyry5yjhqfmnfr-cadrv',
    ['gszi1nxgyf69xnd84jqyry5yjhqfmnfr-cadrv'],
    'fixed:r:sha256:18nrsqhkazc4vfyn8gn0kw60psmf29197n1hf96afkpyqyha06bx',
  ],
  [
    'kwymjv0r66ayw9bvcgsksr2z3njwalfd-top',
    ['8fzyx6234ldix5szdwnkgyfimzraj2ha-dep', 'kwymjv0r66ayw9bvcgsksr2z3njwalfd-top'],
    'fixed:r:sha256:0bgwwcx68ai3zqpci87yqcj53qk5lc7iizffz8v1ic37b41wa0bv',
  ],
  [
    'znxqmg2gpxv390dqiwm0ih780xzz2j87-txt',
    ['kxpjfcqpacck1wnbrgsm4f82qbxnrqvk-inner'],
    'text:sha256:1gp9yi5l7jbp8m75h1xljz0lsj016h87zlv1y95pjfmxq8daix7b',
  ],
] as const

/** The NAR that `selfNarinfo` describes: a directory with a file that contains its own path. */
export const selfNar = gunzipBase64(
  'H4sIAAAAAAACA42P3QrCMAyFJyj+gO+hF2NMpujjlDbdOrbUpXWsPr11i6AXork5fCckOdkmU6EZUkGyMj2keeQZ+zvWOasPV3jqmlkZAuktBeYFK6AfvW97ULTwzg4a/dG3auz/yrFkJihvjaBkxSwt+pjBHZiz+GDmYlDISnc3OQ5l0KfLgOpc1F2gcAx11ekWNaVSKOo309zr/j75jx+RDqcnUAEAAA==',
)

/** The NAR that `treeNarinfo` describes: a directory with an executable, an empty file, a symlink and a directory. */
export const treeNar = gunzipBase64(
  'H4sIAAAAAAACA7WSTQ6CMBCF67+SuPEEGje6QOKRSpnQRmhJKQZuL+KUCAlRBLuZfPOa15eZbsnrSJG7VDMu7uBeS55g/4R1jtUUCTzrBjkQGphRukBeYAVpql6Xj6QxNO7HiSnedRVU+qccK2QNYRZRTdbITElTZkgRa59zB/fNbTkS8kYG5E6LuLJYWp3qEAypWWfykvLx87f9h87dse/nwDJD/QhI47T3skM+HjxfSC/lDjCu9lw4/9nXzM4788kv+xrrv1s9b+sj/fep9f9yjn35AXcu7owwBAAA',
)

function gunzipBase64(text: string): Uint8Array {
  return new Uint8Array(gunzipSync(Buffer.from(text, 'base64')))
}
