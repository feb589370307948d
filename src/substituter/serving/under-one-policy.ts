import type { Policy } from '../../policy/policy.ts'

/** Finds an answer by the policy of now: one that changed while the answer was looked for has it looked for again. */
export async function underOnePolicy<Answer>(
  { policy }: { readonly policy: () => Policy },
  find: () => Promise<Answer>,
  discard: (answer: Answer) => Promise<void> = () => Promise.resolve(),
): Promise<Answer> {
  for (;;) {
    const before = policy()
    const answer = await find()
    if (policy() === before) return answer
    await discard(answer)
  }
}
