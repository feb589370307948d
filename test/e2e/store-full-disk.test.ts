import t from 'tap'
import { mountSmallDisk, tryFullDisk } from '../soak/full-disk.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)

t.test(
  'a disk that fills: every path is served all the same, and kept again once there is room',
  async (t) => {
    const diskBytes = 12_000_000
    const disk = await mountSmallDisk(diskBytes)
    if (typeof disk === 'string') {
      t.skip(disk)
      return
    }
    await using small = disk
    const tally = createTally()
    const size = { paths: 12, narBytes: 1_500_000 }
    await tryFullDisk({ seed: 1, encoding: 'xz', diskBytes, ...size, tally }, small)
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
