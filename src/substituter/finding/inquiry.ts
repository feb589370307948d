import { type AnswerSlot, type TrustedAnswer, trustedAnswers } from '../../policy/answer.ts'
import type { Choice } from '../../policy/choose.ts'
import type { ExpectedName } from '../../policy/names.ts'
import { holdsBack } from '../../policy/held-back.ts'
import type { Policy } from '../../policy/policy.ts'
import type { RefusalReason } from '../../policy/verdict.ts'
import {
  decideViews,
  type JudgedSlot,
  maySign,
  type MaySign,
  replied,
  type Reply,
  unaskedSlots,
  type Views,
  wouldRefuse,
} from '../../policy/views.ts'

export type InquiryOptions = {
  /** The policy of now: what was said is judged again by one that changed, before anything is read from here. */
  readonly policy: () => Policy
  /** Asks one upstream, given what all said so far; never rejects. */
  readonly ask: (upstream: string, slots: readonly JudgedSlot[]) => Promise<Reply>
  /** What better upstreams' references say of the hash's name, at this moment. */
  readonly expected: () => ExpectedName | null
  /** Resolves to whether an upstream is so slow that the next one of its group is to be asked; may reject when the signal aborts. */
  readonly isSlow: (upstream: string, signal: AbortSignal) => Promise<boolean>
  /** Told of each reply once it is judged. */
  readonly judged: (slot: JudgedSlot) => void
  /** Told when all have answered who were asked after all had. */
  readonly settledAgain: () => void
}

/** The choice, once there is one. */
export type Outcome = Exclude<Choice, { kind: 'wait' }>

/**
 * One question to the upstreams: who asks the same while it runs shares it. It asks whom the policy wants asked, as the answers come; late
 * answers still count, and those of an `equivalent` group that were not needed may be asked later.
 */
export class Inquiry {
  /** The policy that said whom to ask. */
  readonly askedUnder: Policy
  readonly #options: InquiryOptions
  #policy: Policy
  #slots: readonly JudgedSlot[]
  #views: Views
  #running = 0
  readonly #chosen = Promise.withResolvers<Outcome>()
  #settled = handled(Promise.withResolvers<undefined>())
  #isSettled = false
  #hasChoice = false

  constructor(options: InquiryOptions) {
    this.#options = options
    handled(this.#chosen)
    this.askedUnder = options.policy()
    this.#policy = this.askedUnder
    this.#slots = unaskedSlots(this.#policy)
    this.#views = this.#decide()
  }

  /** The choice, as soon as it is certain: strictly by preference. */
  get chosen(): Promise<Outcome> {
    return this.#chosen.promise
  }

  /** Resolves when every upstream that was asked has answered or was given up. Both reject where Weir itself failed. */
  get settled(): Promise<undefined> {
    return this.#settled.promise
  }

  /** Asks those as well whose group another one speaks for; resolves when all have answered. */
  everybody(): Promise<undefined> {
    this.#yield(() => true)
    return this.settled
  }

  /** Whether there are some who were not asked since somebody of their group speaks for them. */
  get isHoldingBack(): boolean {
    return this.#slots.some(
      ({ upstream, isAsked }) => isAsked && holdsBack(this.#policy, this.#slots, upstream),
    )
  }

  /** What is decided so far, by the policy of now. */
  get views(): Views {
    this.#judgeAnew()
    return this.#views
  }

  /** What each upstream said so far, as it is served, in order of preference. */
  get slots(): readonly AnswerSlot[] {
    return this.views.serving.slots
  }

  /** The trusted claims that have come so far, the chosen one first; none before there is a choice, or where it is another. */
  trusted(): readonly TrustedAnswer[] {
    const { choice, slots } = this.views.serving
    if (choice.kind !== 'trusted') return []
    return [choice.answer, ...trustedAnswers(slots).filter((answer) => answer !== choice.answer)]
  }

  /** Whether Weir may sign what this answer says. */
  maySign(answer: TrustedAnswer): MaySign {
    return maySign(this.views, answer)
  }

  /** Report only: why the enforced policy would refuse this answer; `null` where it would not. */
  wouldRefuse(answer: TrustedAnswer): RefusalReason | null {
    return wouldRefuse(this.views, answer)
  }

  /** Nobody is asked whom the new policy would ask besides: that is a new inquiry's work. */
  #judgeAnew(): void {
    const policy = this.#options.policy()
    if (policy === this.#policy) return
    this.#policy = policy
    this.#slots = this.#slots.map((slot) =>
      slot.reply === null ? slot : replied(policy, slot, slot.reply),
    )
    this.#views = decideViews(policy, this.#slots, this.#options.expected())
    this.#hasChoice = hasChoice(this.#views)
  }

  #decide(): Views {
    for (;;) {
      const views = decideViews(this.#policy, this.#slots, this.#options.expected())
      const ask = new Set([...views.enforced.ask, ...views.serving.ask])
      if (ask.size === 0) {
        this.#conclude(views)
        return views
      }
      for (const upstream of ask) this.#ask(upstream)
    }
  }

  #ask(upstream: string): void {
    this.#running += 1
    if (this.#isSettled) {
      this.#isSettled = false
      this.#settled = handled(Promise.withResolvers<undefined>())
      void this.settled.then(this.#options.settledAgain, () => undefined)
    }
    this.#slots = this.#slots.map((slot) =>
      slot.upstream === upstream ? { ...slot, isAsked: true, isBesides: this.#hasChoice } : slot,
    )
    const answered = new AbortController()
    // A fault of Weir's own: whoever waits is told, and nobody waits for ever.
    const failed = (error: unknown): void => {
      this.#chosen.reject(error)
      this.#settled.reject(error)
    }
    if (holdsBack(this.#policy, this.#slots, upstream)) {
      void this.#hedge(upstream, answered.signal).catch(failed)
    }
    void this.#options
      .ask(upstream, this.#slots)
      .then((reply) => {
        answered.abort()
        this.#running -= 1
        this.#take(upstream, reply)
      })
      .catch(failed)
  }

  /** Has the next one of the group asked, should this one be slow. */
  async #hedge(upstream: string, answered: AbortSignal): Promise<void> {
    const isSlow = await this.#options.isSlow(upstream, answered).catch(() => false)
    if (isSlow && !answered.aborted) this.#yield((each) => each === upstream)
  }

  #yield(yields: (upstream: string) => boolean): void {
    this.#judgeAnew()
    this.#slots = this.#slots.map((slot) =>
      yields(slot.upstream) ? { ...slot, yields: true } : slot,
    )
    this.#views = this.#decide()
  }

  #take(upstream: string, reply: Reply): void {
    this.#judgeAnew()
    this.#slots = this.#slots.map((slot) => {
      if (slot.upstream !== upstream) return slot
      const judged = replied(this.#policy, slot, reply)
      this.#options.judged(judged)
      return judged
    })
    this.#views = this.#decide()
  }

  #conclude(views: Views): void {
    const { enforced, serving } = views
    const { choice } = serving
    this.#hasChoice = hasChoice(views)
    if (enforced.choice.kind !== 'wait' && choice.kind !== 'wait') this.#chosen.resolve(choice)
    if (this.#running > 0 || this.#isSettled) return
    this.#isSettled = true
    this.#settled.resolve(undefined)
  }
}

function hasChoice({ enforced, serving }: Views): boolean {
  return enforced.choice.kind !== 'wait' && serving.choice.kind === 'trusted'
}

/** One that may reject before anybody waits for it. */
function handled<Value>(resolvers: PromiseWithResolvers<Value>): PromiseWithResolvers<Value> {
  resolvers.promise.catch(() => undefined)
  return resolvers
}
