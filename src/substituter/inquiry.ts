import { type AnswerSlot, type TrustedAnswer, trustedAnswers } from '../policy/answer.ts'
import type { Choice } from '../policy/choose.ts'
import type { ExpectedName } from '../policy/names.ts'
import type { Policy } from '../policy/policy.ts'
import type { RefusalReason } from '../policy/verdict.ts'
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
} from '../policy/views.ts'

export type InquiryOptions = {
  /** The policy of now: what was said is judged again by one that changed, before anything is read from here. */
  readonly policy: () => Policy
  /** Asks one upstream, given what all said so far; never rejects. */
  readonly ask: (upstream: string, slots: readonly JudgedSlot[]) => Promise<Reply>
  /** What better upstreams' references say of the hash's name, at this moment. */
  readonly expected: () => ExpectedName | null
  /** Told of each reply once it is judged. */
  readonly judged: (slot: JudgedSlot) => void
}

/** The choice, once there is one. */
export type Outcome = Exclude<Choice, { kind: 'wait' }>

/**
 * One question to the upstreams: who asks the same while it runs shares it. It asks whom the policy wants asked, as the answers come; late
 * answers still count.
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
  readonly #settled = Promise.withResolvers<undefined>()

  constructor(options: InquiryOptions) {
    this.#options = options
    for (const { promise } of [this.#chosen, this.#settled]) promise.catch(() => undefined)
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
    this.#slots = this.#slots.map((slot) =>
      slot.upstream === upstream ? { ...slot, isAsked: true } : slot,
    )
    void this.#options
      .ask(upstream, this.#slots)
      .then((reply) => {
        this.#running -= 1
        this.#take(upstream, reply)
      })
      .catch((error: unknown) => {
        // A fault of Weir's own: whoever waits is told, and nobody waits for ever.
        this.#chosen.reject(error)
        this.#settled.reject(error)
      })
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

  #conclude({ enforced, serving }: Views): void {
    const { choice } = serving
    if (enforced.choice.kind !== 'wait' && choice.kind !== 'wait') this.#chosen.resolve(choice)
    if (this.#running === 0) this.#settled.resolve(undefined)
  }
}
