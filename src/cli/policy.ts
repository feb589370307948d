import { type Command, UsageError } from './command.ts'
import { policyShow } from './policy-show.ts'
import { policyTest } from './policy-test.ts'

/** `weir policy show` and `weir policy test` */
export const policyCommand: Command = {
  summary: 'show the policy that holds, or test it against cases',
  help: `show prints the rules in the order in which they are tried, the upstreams, and what is recalled and suspended.
test runs cases from TOML files against the rules of the configuration, with the very code that decides when Weir serves. It asks
nobody, needs no state, and ends with 1 where a case fails: made for an organisation's CI.

  [[case]]
  name = "acme's cache cannot vouch for nix"
  path = "nix-2.18.1"
  claims = [{ upstream = "acme", signed_by = ["acme.cachix.org-1"] }]
  expect = { verdict = "refused", upstream = "acme", reason = "upstream-not-allowed" }

Upstreams that a case does not name do not have the path; down = ["nixos"] cannot tell. A claim may also have nar = "b" (other
content), references = ["glibc-2.39"], name = "…" (a lie), signature = "bad", and content_addressed = true, "wrong" or "md5". Of
what is expected (verdict: trusted, refused, absent or unknown; upstream, reason, rule) only what is written is compared.`,
  operands: 'show | test FILE…',
  options: {},
  flags: {
    json: 'show: print JSON',
    verbose: 'show: list the packages of sets such as @critical',
  },
  async run(input) {
    const [action, ...files] = input.operands
    if (action === 'show') {
      if (files.length > 0) throw new UsageError('show takes no operands')
      return policyShow(input)
    }
    if (action !== 'test') throw new UsageError('say show or test')
    if (files.length === 0) throw new UsageError('test takes at least one file')
    if (input.flags.size > 0) throw new UsageError('test takes no flags')
    return policyTest(input, files)
  },
}
