/** Policies, what upstreams may say, and how a decision goes its course; all of it at random. */
import fc from 'fast-check'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Answer, AnswerSlot } from '../../src/policy/answer.ts'
import { type Decision, decide, unasked } from '../../src/policy/decide.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { answerOf, brief, permutations, type Said } from './answers.ts'
import { called, type Fields, flat, hashTwo, signed } from './claims.ts'
import { policy as base, rule, secretKey, upstream } from './policies.ts'

export const names = ['a', 'b', 'c', 'd'] as const
const keys = names.map((name, at) => secretKey(`${name}-1`, 40 + at))
const keysOf = (name: string) => keys.filter((key) => key.name.startsWith(name))

/* What may be said: of an input-addressed path under several names, or of a content-addressed one. */
export const inputAddressed: readonly Fields[] = [
  called('nix-2.18'),
  { ...called('nix-2.18'), narHash: hashTwo },
  called('harmless'),
  called('acme-1'),
]
export const contentAddressed: readonly Fields[] = [flat, { ...flat, narHash: hashTwo }]

export type Saying = { readonly said: (name: string) => Exclude<Said, 'awaited' | 'unasked'> }

const sayingOf = (paths: readonly Fields[]): fc.Arbitrary<Saying> =>
  fc
    .oneof(
      { weight: 1, arbitrary: fc.constantFrom('absent' as const, 'down' as const) },
      {
        weight: 3,
        arbitrary: fc.record({
          fields: fc.constantFrom(...paths),
          by: fc.constantFrom('itself', 'itself', 'itself', 'nobody', ...names),
        }),
      },
    )
    .map((chosen) => ({
      said: (name) => {
        if (typeof chosen === 'string') return chosen
        const { fields, by } = chosen
        return signed(fields, ...keysOf(by === 'itself' ? name : by))
      },
    }))

const fromSome = fc.option(fc.shuffledSubarray([...names], { minLength: 1 }), { nil: null })
const anyRule = fc
  .record({
    paths: fc.constantFrom(['*'], ['nix-*'], ['harmless', 'acme-*'], ['hello.txt']),
    from: fromSome,
    signedBy: fc.option(fc.subarray(keys, { minLength: 1 }), { nil: null, freq: 3 }),
    agree: fc.constantFrom(1, 1, 2, 3),
    onDivergence: fc.constantFrom('serve' as const, 'serve' as const, 'refuse' as const),
  })
  .map(({ signedBy, ...fields }) =>
    rule({ ...fields, signedBy: signedBy?.map(publicKeyOf) ?? null }),
  )

export const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    upstreams: fc.tuple(
      ...names.map((name) =>
        fc
          .record({
            optional: fc.boolean(),
            tier: fc.constantFrom(0, 0, 0, 1),
            private: fc.constantFrom(false, false, false, true),
            insecureUnsigned: fc.constantFrom(false, false, false, true),
          })
          .map((changes) => upstream(name, keysOf(name), changes)),
      ),
    ),
    rules: fc.array(anyRule, { maxLength: 2 }),
    unmatched: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
    suspended: fc.subarray([...names], { maxLength: 1 }).map((some) => new Set(some)),
  })
  .map((changes) => ({ ...base, ...changes }))

/** Asks as it is told to, hears the answers in that order, and ends where all who were asked have answered. Who is slow is among `slow`. */
export function course(
  policy: Policy,
  answers: ReadonlyMap<string, Answer>,
  order: readonly string[],
  slow: readonly string[] = [],
) {
  let slots: readonly AnswerSlot[] = unasked(policy).map((slot) => ({
    ...slot,
    yields: slow.includes(slot.upstream),
  }))
  let early: string | null = null
  for (;;) {
    const decision: Decision = decide(policy, slots, null)
    if (decision.ask.length > 0) {
      slots = slots.map((slot) =>
        decision.ask.includes(slot.upstream) ? { ...slot, isAsked: true } : slot,
      )
      continue
    }
    if (decision.choice.kind !== 'wait') early ??= brief(decision.choice)
    const next = order.find((name) =>
      slots.some(
        ({ upstream, isAsked, answer }) => upstream === name && isAsked && answer === null,
      ),
    )
    const answer = next === undefined ? undefined : answers.get(next)
    if (answer === undefined) return { early, decision, slots }
    slots = slots.map((slot) => (slot.upstream === next ? { ...slot, answer } : slot))
  }
}

export const anySayings = (paths: readonly Fields[]) =>
  fc
    .tuple(...names.map(() => sayingOf(paths)))
    .map((sayings) => new Map(names.map((name, at) => [name, sayings[at]] as const)))
    .map((sayings) => sayings as ReadonlyMap<string, Saying>)

export const orders = permutations(names)

export const answersOf = (policy: Policy, sayings: ReadonlyMap<string, Saying>) =>
  new Map([...sayings].map(([name, { said }]) => [name, answerOf(policy, name, said(name))]))

/** Any two `equivalent` groups. */
export const anyGroups = fc.tuple(...names.map(() => fc.constantFrom(null, 'one', 'one', 'two')))

/** The policy, its upstreams in these groups. */
export function inGroups(policy: Policy, groups: readonly (string | null)[]): Policy {
  return {
    ...policy,
    upstreams: policy.upstreams.map((each, at) => ({ ...each, equivalent: groups[at] ?? null })),
  }
}
