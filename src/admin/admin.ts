import type { StorePathHash } from '../nix/store-path.ts'
import type { PublicKey } from '../nix/signature.ts'
import type { Block } from '../policy/block.ts'
import type { CircuitState, UpstreamHealth } from '../ports/upstream-health.ts'
import type { Log } from '../ports/log.ts'
import type { LoadedSettings } from '../settings/load-settings.ts'
import { checkExposure } from '../settings/access-checks.ts'
import { checkOwnKey } from '../settings/own-key.ts'
import type { Settings } from '../settings/settings.ts'
import { explain, type ExplainDeps, type ExplainOptions } from './explain.ts'
import type { Explanation } from './explanation.ts'
import type { ForgetReport } from './forget.ts'
import { lift } from './lift.ts'
import type { LivePolicy } from './live-policy.ts'
import { recall, type RecallDeps, type RecallReport } from './recall.ts'
import { keepRestartOnly } from './restart-only.ts'
import { resumeUpstream, type SuspendDeps, suspendUpstream } from './suspend.ts'

export type ReloadReport = {
  readonly epoch: string
  readonly isPolicyChanged: boolean
  /** Keys that changed in the file, and that hold only after a restart. */
  readonly needRestart: readonly string[]
  readonly warnings: readonly string[]
}

export type UpstreamState = {
  readonly upstream: string
  /** Why it is suspended; `null` where it is not. */
  readonly suspended: string | null
  readonly sinceMs: number | null
  /** Whether it is asked: not where it failed several times, or asked for a pause. */
  readonly circuit: CircuitState
}

/** What the operator of a running Weir can do. */
export type Admin = {
  /** Takes the configuration anew; one that is wrong throws its `SettingsError`, and the old one stays. */
  reload(): Promise<ReloadReport>
  explain(hash: StorePathHash, options: ExplainOptions): Promise<Explanation>
  recall(block: Block): Promise<RecallReport>
  /** Forgets what upstreams said of a path: the next request asks them anew. */
  forget(hash: StorePathHash): ForgetReport
  /** Takes a recall back; false where there was none. */
  lift(block: Block): Promise<boolean>
  /** The recalls that Weir keeps itself. */
  recalls(): readonly Block[]
  upstreams(): readonly UpstreamState[]
  /** False where it was so already; throws a `NoSuchUpstreamError`. */
  suspend(upstream: string, why: string): Promise<boolean>
  resume(upstream: string): Promise<boolean>
}

/** A name that no configured upstream has. */
export class NoSuchUpstreamError extends Error {
  override readonly name = 'NoSuchUpstreamError'
}

export type AdminDeps = Omit<ExplainDeps, 'policy'> &
  Omit<RecallDeps, 'policy' | 'recalls' | 'evidence'> &
  Pick<SuspendDeps, 'evidence' | 'meter'> & {
    readonly policy: LivePolicy
    readonly recalls: RecallDeps['recalls'] & {
      blocks(): readonly Block[]
      lift(block: Block): Promise<boolean>
    }
    readonly suspending: SuspendDeps
    readonly health: Pick<UpstreamHealth, 'state'>
    readonly ownKey: PublicKey
    readonly load: () => Promise<LoadedSettings>
    readonly reconfigure: (settings: Settings) => void
    readonly forget: (hash: StorePathHash) => ForgetReport
    readonly log: Log
  }

export function createAdmin(deps: AdminDeps): Admin {
  const { policy, recalls, suspending, log } = deps
  const isKnown = (name: string): boolean =>
    policy.settings().upstreams.some((upstream) => upstream.name === name)
  const mustKnow = (name: string): void => {
    if (isKnown(name)) return
    const names = policy.settings().upstreams.map((upstream) => upstream.name)
    throw new NoSuchUpstreamError(`there is no upstream "${name}": there are ${names.join(', ')}`)
  }
  const take = async (): Promise<ReloadReport> => {
    const loaded = await deps.load()
    checkOwnKey(loaded.settings, deps.ownKey)
    const before = policy.current().epoch
    const { settings, needRestart } = keepRestartOnly(policy.settings(), loaded.settings)
    checkExposure(settings)
    deps.reconfigure(settings)
    const { epoch } = policy.current()
    const isPolicyChanged = epoch !== before
    log.info({ event: 'settings.reloaded', epoch, isPolicyChanged, needRestart })
    for (const warning of loaded.warnings) log.warn({ event: 'settings.warning', warning })
    return { epoch, isPolicyChanged, needRestart, warnings: loaded.warnings }
  }
  const reload = async (): Promise<ReloadReport> => {
    try {
      const report = await take()
      deps.meter.reloaded('ok')
      return report
    } catch (error) {
      deps.meter.reloaded('refused')
      throw error
    }
  }
  let reloaded: Promise<unknown> = Promise.resolve()
  return {
    reload() {
      // One after the other: what was read last holds.
      const next = reloaded.then(reload, reload)
      reloaded = next.catch(() => undefined)
      return next
    },
    explain: (hash, options) => explain({ ...deps, policy: policy.current }, hash, options),
    recall: (block) => recall(deps, block),
    forget: (hash) => deps.forget(hash),
    lift: (block) => lift(deps, block),
    recalls: () => recalls.blocks(),
    upstreams: () => {
      const suspended = suspending.suspensions.list()
      const configured = policy.settings().upstreams.map(({ name }) => name)
      const others = suspended
        .map(({ upstream }) => upstream)
        .filter((name) => !configured.includes(name))
      return [...configured, ...others].map((name) => {
        const entry = suspended.find(({ upstream }) => upstream === name)
        return {
          upstream: name,
          suspended: entry?.why ?? null,
          sinceMs: entry?.sinceMs ?? null,
          circuit: deps.health.state(name),
        }
      })
    },
    async suspend(upstream, why) {
      mustKnow(upstream)
      return suspendUpstream(suspending, upstream, why)
    },
    async resume(upstream) {
      // One that is not configured any more may be cleared all the same.
      if (!policy.current().suspended.has(upstream)) mustKnow(upstream)
      return resumeUpstream(suspending, upstream)
    },
  }
}
