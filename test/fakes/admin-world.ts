import type { LogLevels } from '../../src/admin/log-levels.ts'
import type { LogLevel } from '../../src/settings/log-level.ts'
/** A substituter under a live policy, with what an operator can do to it. */
import { join } from 'node:path'
import { type Admin, createAdmin } from '../../src/admin/admin.ts'
import { forget } from '../../src/admin/forget.ts'
import { createLivePolicy } from '../../src/admin/live-policy.ts'
import { punishLie, type SuspendDeps } from '../../src/admin/suspend.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { Meter } from '../../src/ports/meter.ts'
import { type LoadedSettings, loadSettings } from '../../src/settings/load-settings.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { openRecalls, type Recalls } from '../../src/state/recalls.ts'
import { openSuspensions } from '../../src/state/suspensions.ts'
import { storeDir } from '../nix/fixtures.ts'
import type { FakeUpstream } from './fake-upstream.ts'
import { type Tap, world, type WorldOptions } from './substituter-world.ts'
import { keys } from './test-claims.ts'
import { testPolicy, type UpstreamChanges } from './test-policy.ts'
import { workFolder } from './work-folder.ts'

export type AdminOptions = Pick<WorldOptions, 'catalog' | 'ingest' | 'store'> & {
  readonly dir?: string
  readonly upstreams: readonly FakeUpstream[]
  readonly of?: UpstreamChanges
  readonly settings?: Partial<Settings>
  readonly meter?: Partial<Meter>
  /** Comes between the recalls in their file and whoever uses them. */
  readonly recalls?: (recalls: Recalls) => Recalls
}

export type AdminWorld = Awaited<ReturnType<typeof createAdminWorld>>

/** The same folder and catalog again are a restart. */
export async function createAdminWorld(t: Tap, options: AdminOptions) {
  const { of, upstreams, dir = workFolder(t) } = options
  const names = upstreams.map(({ name }) => name)
  const { settings: defaults } = await loadSettings({ env: {}, homeDir: '/home/ada', cores: 4 })
  const [plain] = defaults.upstreams
  if (plain === undefined) throw new Error('there is an upstream by default')
  const settings: Settings = {
    ...defaults,
    upstreams: testPolicy(names, of).upstreams.map((each) => ({
      ...plain,
      ...each,
      url: `https://${each.name}.test`,
    })),
    ...options.settings,
  }
  const onDisk = await openRecalls(join(dir, 'recalls.toml'), storeDir)
  const recalls = options.recalls?.(onDisk) ?? onDisk
  const suspensions = await openSuspensions(join(dir, 'suspended.json'))
  const made = await world(t, {
    ...options,
    ...{ dir, importKeys: [] },
    lied: (hash, lie) => {
      punishLie(suspending, hash, lie)
    },
  })
  const changes: Policy[] = []
  const policy = createLivePolicy(settings, {
    recalls,
    suspensions,
    changed: (next) => {
      changes.push(next)
      made.setPolicy(next)
    },
  })
  made.setPolicy(policy.current())
  const suspending: SuspendDeps = { ...made, policy, suspensions }
  let load = (): Promise<LoadedSettings> => Promise.reject(new Error('there is nothing to load'))
  let level: LogLevel = settings.log.level
  const levels: LogLevels = {
    level: () => level,
    setLevel: (next) => {
      level = next
    },
  }
  const admin: Admin = createAdmin({
    ...made,
    ...{ policy, recalls, suspending },
    ownKey: publicKeyOf(keys.weir),
    load: () => load(),
    levels,
    forget: (hash) => forget(made, hash),
    reconfigure: (next) => {
      policy.reconfigure(next)
    },
  })
  return {
    ...made,
    ...{ admin, settings, recalls, suspensions, suspending },
    live: policy,
    /** The policies that came after the first one. */
    changes,
    /** What the next reload finds. */
    setFile(next: () => Promise<LoadedSettings>) {
      load = next
    },
    /** The next reload finds these settings, without warnings. */
    setSettings(change: Partial<Settings>) {
      const loaded = { settings: { ...settings, ...change }, source: 'weir.toml', warnings: [] }
      load = () => Promise.resolve(loaded)
    },
  }
}
