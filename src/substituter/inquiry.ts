import {
  type Answer,
  type AnswerSlot,
  choose,
  type Choice,
  type TrustedAnswer,
} from '../policy/choose.ts'

/** An upstream to ask, in order of preference. */
export type Asked = {
  readonly upstream: string
  readonly optional: boolean
  /** Resolves to the judged answer; it never rejects. */
  readonly answer: Promise<Answer>
}

/** One question to all upstreams at once: who asks the same while it runs shares it. Late answers still count. */
export class Inquiry {
  readonly #slots: { upstream: string; optional: boolean; answer: Answer | null }[]
  readonly #chosen = Promise.withResolvers<Exclude<Choice, { kind: 'wait' }>>()
  /** Resolves when every upstream has answered or was given up. */
  readonly settled: Promise<void>

  constructor(asked: readonly Asked[]) {
    this.#slots = asked.map(({ upstream, optional }) => ({ upstream, optional, answer: null }))
    const arrivals = asked.map(async ({ answer }, index) => {
      const slot = this.#slots[index]
      const arrived = await answer
      if (slot !== undefined) slot.answer = arrived
      this.#decide()
    })
    this.settled = Promise.all(arrivals).then(() => undefined)
    this.#decide()
  }

  /** The choice, as soon as it is certain: strictly by preference. */
  get chosen(): Promise<Exclude<Choice, { kind: 'wait' }>> {
    return this.#chosen.promise
  }

  /** What is known so far, in order of preference. */
  get slots(): readonly AnswerSlot[] {
    return this.#slots
  }

  /** The trusted claims that have come so far, in order of preference. */
  trusted(): readonly TrustedAnswer[] {
    return this.#slots.flatMap(({ answer }) => (answer?.kind === 'trusted' ? [answer] : []))
  }

  #decide(): void {
    const choice = choose(this.#slots)
    if (choice.kind !== 'wait') this.#chosen.resolve(choice)
  }
}
