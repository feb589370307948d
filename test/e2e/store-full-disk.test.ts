import t from 'tap'
import { mountSmallDisk, tryFullDisk } from '../soak/full-disk.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)
const disk = await mountSmallDisk(12_000_000)
const skip = typeof disk === 'string' ? disk : false

t.test(
  'a disk that fills: every path is served all the same, and kept again once there is room',
  { skip },
  async (t) => {
    if (typeof disk === 'string') return
    await using small = disk
    const tally = createTally()
    await tryFullDisk({ seed: 1, encoding: 'xz', paths: 12, narBytes: 1_500_000, tally }, small)
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
