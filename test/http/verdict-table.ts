/**
 * Claims and rules, and the verdict that trust.md demands: the rows of a policy are asked in their order, of one Weir with the
 * upstreams that the policy names, in that order of preference. Each upstream has the key that is called like it, but for those
 * that are named keyless or open.
 */
import { claimRows } from './verdict-rows-claims.ts'
import { ruleRows } from './verdict-rows-rules.ts'
import { orderRows } from './verdict-rows-order.ts'
import { hashOf, keys, narHashOf, type Row } from './verdict-claims.ts'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'

export type PolicyTable = {
  /** More settings of each upstream, in TOML; in the order of preference. */
  readonly upstreams: Readonly<Record<string, string>>
  /** The rest of the policy, in TOML. */
  readonly toml: string
  readonly rows: readonly Row[]
}

const acmeKeyAsOther = formatPublicKey({ ...publicKeyOf(keys.acme), name: 'other-1' })

export const table: Readonly<Record<string, PolicyTable>> = {
  'without rules': {
    upstreams: { nixos: '', acme: '', keyless: '', open: 'insecure_unsigned = true' },
    toml: '',
    rows: claimRows,
  },

  'with rules': {
    upstreams: {
      nixos: '',
      acme: '',
      mirror: '',
      second: '',
      keyless: '',
      open: 'insecure_unsigned = true',
    },
    toml: `
      [[rule]]
      name = "critical"
      packages = ["@critical"]
      from = ["nixos"]
      signed_by = ["nixos-1"]
      [[rule]]
      name = "ours"
      paths = ["acme-*", "proved-?"]
      from = ["acme"]
      [[rule]]
      name = "audited"
      paths = ["audited-*"]
      signed_by = ["nixos-1"]
      [[rule]]
      name = "reversed"
      paths = ["reversed-*"]
      from = ["acme", "nixos"]
      [[rule]]
      name = "two builders"
      packages = ["firefox"]
      from = ["nixos", "acme", "open"]
      agree = 2
      [[rule]]
      name = "two of four"
      packages = ["brave"]
      agree = 2
      [[rule]]
      name = "two signatures"
      packages = ["chromium"]
      signed_by = ["nixos-1", "acme-1"]
      agree = 2
      [[rule]]
      name = "no divergence"
      paths = ["strict-*"]
      on_divergence = "refuse"
    `,
    rows: ruleRows,
  },

  'that denies what no rule matches': {
    upstreams: { nixos: '', acme: '', keyless: '' },
    toml: `
      [policy]
      unmatched = "deny"
      [[rule]]
      name = "nix"
      packages = ["nix"]
      from = ["nixos"]
      [[rule]]
      name = "sources"
      paths = ["*-source"]
      from = ["keyless", "nixos"]
    `,
    rows: orderRows.deny,
  },

  'of tiers and privacy': {
    upstreams: {
      nixos: '',
      acme: 'tier = 1',
      vault: 'private = true',
      mirror: 'tier = 1\noptional = true',
    },
    toml: `
      [[rule]]
      name = "two builders"
      packages = ["firefox"]
      from = ["nixos", "acme"]
      agree = 2
    `,
    rows: orderRows.tiers,
  },

  'with recalls': {
    upstreams: { nixos: '', acme: '', keyless: '', open: 'insecure_unsigned = true' },
    toml: `
      [[block]]
      package = "xz"
      versions = ["5.6.0", "5.6.1"]
      reason = "CVE-2024-3094"
      [[block]]
      hash = "${hashOf('a recalled hash')}"
      reason = "of a test"
      [[block]]
      path = "${hashOf('a recalled path')}-recalled"
      reason = "of a test"
      [[block]]
      nar_hash = "${narHashOf('recalled')}"
      reason = "of a test"
      [[block]]
      key = "${acmeKeyAsOther}"
      reason = "stolen"
    `,
    rows: orderRows.recalls,
  },

  'that only reports': {
    upstreams: { nixos: '', acme: '', open: 'insecure_unsigned = true' },
    toml: `
      [policy]
      enforce = false
      unmatched = "deny"
      [[rule]]
      name = "nix"
      packages = ["nix"]
      from = ["nixos"]
      [[rule]]
      name = "two builders"
      packages = ["firefox"]
      agree = 2
      [[rule]]
      name = "audited"
      paths = ["audited-*"]
      signed_by = ["nixos-1"]
      [[block]]
      package = "xz"
      reason = "of a test"
    `,
    rows: orderRows.report,
  },

  'against a lie': {
    upstreams: { nixos: '', acme: '' },
    toml: `
      [[rule]]
      name = "ours"
      paths = ["acme-*"]
      from = ["acme"]
    `,
    rows: orderRows.lie,
  },

  'against a lie that a content address proves': {
    upstreams: { nixos: '', acme: '', keyless: '' },
    toml: '',
    rows: orderRows.proof,
  },
}
