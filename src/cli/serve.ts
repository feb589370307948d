import { type App, startApp } from '../app.ts'
import type { Log } from '../ports/log.ts'
import { formatSettingsError, SettingsError } from '../settings/settings-error.ts'
import { createLogger } from '../telemetry/logger.ts'
import { clientLines } from '../admin/client-lines.ts'
import { type CliWorld, type Command, UsageError } from './command.ts'

/** `weir serve` */
export const serveCommand: Command = {
  summary: 'serve as a substituter until SIGTERM or SIGINT',
  help: `Serves the configured upstreams to Nix clients, checks what they vouch for, keeps what was fetched.
SIGTERM and SIGINT let running transfers finish first; a second one ends at once.`,
  operands: '',
  options: {},
  flags: {},
  async run({ world, version, operands, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings, source, warnings } = await load()
    const log = createLogger(settings.log, { isTTY: world.isTerminal })
    for (const warning of warnings) log.warn({ event: 'settings.warning', warning })
    const app = await startApp({ settings, configuration: source, version, log, load })
    // Whoever was told that Weir listens may signal it: without a listener that would end it.
    const unlisten = reloadOnHangup(world, app, log)
    const ending = nextSignal(world)
    log.info({
      event: 'server.listening',
      url: app.address,
      version,
      configuration: source,
      mode: settings.network.mode,
      upstreams: settings.upstreams.map(({ name, url }) => `${name} ${url}`),
      cache: settings.cache.dir,
      state: settings.state.dir,
    })
    log.info({
      event: 'client.setup',
      hint: 'put these lines into /etc/nix/nix.conf of each client, in place of its own, and restart its nix-daemon',
      'nix.conf': clientLines({
        address: app.address,
        publicKey: app.publicKey,
        mode: settings.signing.mode,
        upstreams: settings.upstreams,
      }),
    })
    const signal = await ending
    log.info({ event: 'server.draining', signal, timeoutMs: settings.server.drainTimeoutMs })
    await Promise.race([app.stop(), nextSignal(world)])
    unlisten()
    log.info({ event: 'server.stopped' })
    return 0
  },
}

/** SIGHUP takes the configuration anew; one that is wrong is told, and the old one stays. Returns what stops that. */
function reloadOnHangup({ signals }: CliWorld, app: App, log: Log): () => void {
  const reload = (): void => {
    app.reload().catch((error: unknown) => {
      if (error instanceof SettingsError) {
        const problems = formatSettingsError(error).split('\n')
        log.error({ event: 'settings.refused', hint: 'the old ones stay', problems })
      } else {
        log.error({ event: 'settings.refused', hint: 'the old ones stay', err: error })
      }
    })
  }
  signals.on('SIGHUP', reload)
  return () => {
    signals.off('SIGHUP', reload)
  }
}

const endings = ['SIGTERM', 'SIGINT'] as const

function nextSignal({ signals }: CliWorld): Promise<string> {
  return new Promise((resolve) => {
    const heard = (signal: string): void => {
      for (const ending of endings) signals.off(ending, heard)
      resolve(signal)
    }
    for (const ending of endings) signals.once(ending, heard)
  })
}
