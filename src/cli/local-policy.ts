import { join } from 'node:path'
import type { PolicyWithRecalls } from '../admin/plain-policy.ts'
import { policyOf } from '../settings/policy-of.ts'
import type { Settings } from '../settings/settings.ts'
import { openRecalls } from '../state/recalls.ts'
import { openSuspensions } from '../state/suspensions.ts'

/** The policy that a Weir would have that started now: the configuration's, with what the state folder remembers. Only reads. */
export async function localPolicy(settings: Settings): Promise<PolicyWithRecalls> {
  const { state, server } = settings
  const recalls = await openRecalls(join(state.dir, 'recalls.toml'), server.storeDir)
  const suspensions = await openSuspensions(join(state.dir, 'suspended.json'))
  const recalled = recalls.blocks()
  return {
    policy: policyOf(settings, { blocks: recalled, suspended: suspensions.names() }),
    recalled,
  }
}
