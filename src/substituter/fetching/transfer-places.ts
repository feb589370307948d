import { createFairQueue } from '../../queue/fair-queue.ts'
import type { TransferDeps } from './transfers.ts'

const shareOfOne = 0.75

/** The places of the NARs that are fetched at the same time, in turn for each client and each upstream. */
export function createTransferPlaces(
  deps: Pick<TransferDeps, 'policy' | 'isRemote' | 'maxTransfers'>,
) {
  return createFairQueue({ places: deps.maxTransfers, placesOfGroup: () => placesOfOne(deps) })
}

/** How many places the NARs of one upstream may take: where there are others, one that drips cannot hold them all. */
function placesOfOne({
  policy,
  isRemote,
  maxTransfers,
}: Pick<TransferDeps, 'policy' | 'isRemote' | 'maxTransfers'>): number {
  const remote = policy().upstreams.filter(({ name }) => isRemote(name))
  return remote.length > 1 ? Math.max(1, Math.floor(maxTransfers * shareOfOne)) : maxTransfers
}
