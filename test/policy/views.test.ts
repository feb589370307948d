import t from 'tap'
import type { TrustedAnswer } from '../../src/policy/answer.ts'
import type { Policy } from '../../src/policy/policy.ts'
import {
  decideViews,
  maySign,
  replied,
  unaskedSlots,
  type Views,
  wouldRefuse,
} from '../../src/policy/views.ts'
import { brief, fates, replyOf, type SaidBy } from './answers.ts'
import { called, flat, hashTwo, plain, signed } from './claims.ts'
import { acmeKey, blocking, nixosKey, policy as base, rule, upstream } from './policies.ts'

const policy: Policy = {
  ...base,
  enforce: false,
  upstreams: [
    upstream('nixos', [nixosKey]),
    upstream('acme', [acmeKey]),
    upstream('open', [], { insecureUnsigned: true }),
  ],
}
const onlyNixos = { ...policy, rules: [rule({ from: ['nixos'] })] }

function viewsOf(rules: Policy, saidBy: SaidBy): Views {
  const slots = unaskedSlots(rules).map((slot) => {
    const said = saidBy[slot.upstream] ?? 'absent'
    if (said === 'awaited' || said === 'unasked') {
      return { ...slot, isAsked: said === 'awaited' }
    }
    return replied(rules, slot, replyOf(slot.upstream, said))
  })
  return decideViews(rules, slots, null)
}

function served({ serving: { choice } }: Views): TrustedAnswer {
  if (choice.kind !== 'trusted') throw new TypeError(choice.kind)
  return choice.answer
}

/** What is served, why the policy would refuse it, and whether Weir signs it. */
function report(rules: Policy, saidBy: SaidBy) {
  const views = viewsOf(rules, saidBy)
  const answer = served(views)
  return [brief(views.serving.choice), wouldRefuse(views, answer), maySign(views, answer)]
}

const byNixos = signed(plain, nixosKey)
const byAcme = signed(plain, acmeKey)

t.test('where the policy is enforced, both views are one', async (t) => {
  const enforcing = { ...onlyNixos, enforce: true }
  const { enforced, serving } = viewsOf(enforcing, { nixos: byNixos, acme: byAcme })
  t.equal(enforced, serving)
  t.strictSame(report(enforcing, { nixos: byNixos }), ['trusted nixos', null, 'always'])
  t.equal(brief(viewsOf(enforcing, { acme: byAcme }).serving.choice), 'absent')
})

t.test('report only serves by the plain order, tells, and does not sign', async (t) => {
  t.strictSame(report(onlyNixos, { acme: byAcme }), [
    'trusted acme',
    'upstream-not-allowed',
    'never',
  ])
  const agreeing = { ...policy, rules: [rule({ agree: 2 })] }
  t.strictSame(report(agreeing, { acme: byAcme }), ['trusted acme', 'no-agreement', 'never'])
  const audited = { ...policy, rules: [rule({ signedBy: [] })] }
  t.strictSame(report(audited, { nixos: byNixos }), [
    'trusted nixos',
    'no-trusted-signature',
    'never',
  ])
  t.strictSame(report({ ...policy, unmatched: 'deny' }, { nixos: byNixos }), [
    'trusted nixos',
    'upstream-not-allowed',
    'never',
  ])
})

t.test('report only signs what the policy trusts too', async (t) => {
  t.strictSame(report(onlyNixos, { nixos: byNixos }), ['trusted nixos', null, 'always'])
  t.strictSame(report(policy, { acme: byAcme }), ['trusted acme', null, 'always'])
})

t.test(
  'report only signs what the policy would serve from another upstream, if equal',
  async (t) => {
    const onlyAcme = { ...policy, rules: [rule({ from: ['acme'] })] }
    t.strictSame(report(onlyAcme, { nixos: byNixos, acme: byAcme }), [
      'trusted nixos',
      'upstream-not-allowed',
      'always',
    ])
    const other = signed({ ...plain, narHash: hashTwo }, nixosKey)
    t.strictSame(report(onlyAcme, { nixos: other, acme: byAcme }), [
      'trusted nixos',
      'upstream-not-allowed',
      'never',
    ])
  },
)

t.test("a rule's order alone is no refusal, but what differs from it is not signed", async (t) => {
  const acmeFirst = { ...policy, rules: [rule({ from: ['acme', 'nixos'] })] }
  const other = signed({ ...plain, narHash: hashTwo }, nixosKey)
  t.strictSame(report(acmeFirst, { nixos: other, acme: byAcme }), ['trusted nixos', null, 'never'])
})

t.test('report only still needs a signature of the upstream itself', async (t) => {
  for (const claim of [plain, signed(plain, acmeKey)]) {
    t.equal(brief(viewsOf(policy, { nixos: claim }).serving.choice), 'absent')
  }
  t.strictSame(report(policy, { nixos: flat }), ['trusted nixos', null, 'once-verified'])
})

t.test('recalls and suspensions hold in report only', async (t) => {
  const recalled = { ...policy, ...blocking({ kind: 'package', package: 'top', versions: null }) }
  const views = viewsOf(recalled, { nixos: byNixos })
  t.equal(brief(views.serving.choice), 'absent')
  t.equal(fates(views.serving)['nixos'], 'blocked')
  const suspended = { ...policy, suspended: new Set(['nixos']) }
  t.notOk(unaskedSlots(suspended).some(({ upstream }) => upstream === 'nixos'))
})

t.test('report only asks whom the policy would not', async (t) => {
  const closed = { ...onlyNixos, unmatched: 'deny' as const }
  const names = (rules: Policy) => unaskedSlots(rules).map(({ upstream }) => upstream)
  t.strictSame(names(closed), ['nixos', 'acme', 'open'])
  t.strictSame(names({ ...closed, enforce: true }), ['nixos'])
})

t.test('report only names a lie, and serves by preference', async (t) => {
  const views = viewsOf(policy, {
    nixos: signed(called('nix-2.18'), nixosKey),
    acme: signed(called('harmless'), acmeKey),
  })
  t.equal(brief(views.serving.choice), 'trusted nixos')
  t.equal(views.enforced.lies[0]?.upstream, 'acme')
  t.strictSame(views.serving.lies, [])
})

t.test('what nobody vouches for is never signed', async (t) => {
  for (const enforce of [true, false]) {
    t.strictSame(report({ ...policy, enforce }, { open: plain }), ['trusted open', null, 'never'])
  }
})

t.test(
  'what is served from an upstream that nobody vouches for is not signed for another',
  async (t) => {
    const openFirst = { ...policy, upstreams: policy.upstreams.toReversed() }
    t.strictSame(report(openFirst, { open: plain, acme: byAcme }), ['trusted open', null, 'never'])
  },
)

t.test('nothing is signed while the policy has not decided', async (t) => {
  const agreeing = { ...policy, rules: [rule({ agree: 2 })] }
  const views = viewsOf(agreeing, { nixos: byNixos, acme: 'awaited' })
  t.equal(brief(views.serving.choice), 'trusted nixos')
  t.equal(brief(views.enforced.choice), 'wait')
  t.equal(maySign(views, served(views)), 'never')
  t.equal(wouldRefuse(views, served(views)), null)
})
