import { phasesOf } from './ask-order.ts'
import { importUpstreamName, type Policy } from './policy.ts'
import type { JudgedSlot } from './views.ts'

/**
 * Whether nobody but this upstream can still answer: of those that did not answer yet none is up that would be asked whatever it says. What
 * lies in the store counts for nobody.
 */
export function isLastHope(
  policy: Policy,
  slots: readonly JudgedSlot[],
  upstream: string,
  isDown: (upstream: string) => boolean,
): boolean {
  const own = phasesOf(policy).find(({ upstreams }) => upstreams.includes(upstream))
  const isOptional = slots.some((slot) => slot.upstream === upstream && slot.optional)
  // Where a private upstream cannot tell, nobody after it is asked.
  const mayGoOn = own === undefined || !own.isPrivate || isOptional
  return !slots.some((slot) => {
    const isOther = slot.upstream !== upstream && slot.upstream !== importUpstreamName
    const mayAnswer = isOther && slot.reply === null && !isDown(slot.upstream)
    return mayAnswer && (mayGoOn || own.upstreams.includes(slot.upstream))
  })
}
