import { isLoopbackHost } from '../../settings/loopback.ts'
import { UpstreamError } from '../../ports/upstream.ts'
import { basic } from '../credentials/header-values.ts'
import { unbracket } from './network-reach.ts'
import type { Target } from '../url-rules.ts'

/** An HTTP proxy. */
export type Proxy = {
  /** Without credentials: what people may see. */
  readonly url: URL
  /** The value of `Proxy-Authorization`; for the proxy alone. */
  readonly authorization: string | null
}

/** The proxy on the way to a target; `null` where it is reached directly. A variable that names no proxy is an UpstreamError `connect`. */
export type ProxyFor = (target: Target) => Proxy | null

type Environment = Readonly<Record<string, string | undefined>>

/** Chooses as curl does: by the setting, or the variables of the target's scheme; `no_proxy` and loopback go directly. */
export function createProxyFor(setting: string, env: Environment): ProxyFor {
  if (setting === 'none') return () => null
  const isExempt = parseNoProxy(valueOf(env, ['no_proxy', 'NO_PROXY'])?.value ?? '')
  const known = new Map<string, Proxy>()
  return (target) => {
    const host = unbracket(target.hostname)
    if (isLoopbackHost(host) || isExempt(target)) return null
    const named =
      setting === 'environment'
        ? valueOf(env, variablesFor(target.protocol))
        : { name: 'network.proxy', value: setting }
    if (named === null) return null
    const proxy = known.get(named.value) ?? parseProxyUrl(named)
    known.set(named.value, proxy)
    return proxy
  }
}

/** HTTP_PROXY is not among them: what runs behind a web server gets it from a request's `Proxy` header. */
function variablesFor(protocol: string): readonly string[] {
  const own = protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy']
  return [...own, 'all_proxy', 'ALL_PROXY']
}

type Named = { readonly name: string; readonly value: string }

function valueOf(env: Environment, names: readonly string[]): Named | null {
  for (const name of names) {
    const value = env[name]?.trim() ?? ''
    if (value !== '') return { name, value }
  }
  return null
}

function parseProxyUrl({ name, value }: Named): Proxy {
  const url = URL.parse(value.includes('://') ? value : `http://${value}`)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new UpstreamError('connect', `${name} does not hold the URL of an HTTP proxy`)
  }
  const [user, password] = [decode(url.username), decode(url.password)]
  const authorization = user === '' && password === '' ? null : basic(user, password)
  return { url: new URL(url.origin), authorization }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** `*`, or names and addresses with what is below them; `HOST:PORT` is for one port. */
function parseNoProxy(text: string): (target: Target) => boolean {
  const entries = text
    .split(/[\s,]+/)
    .map((entry) => entry.toLowerCase().replace(/^\*?\./, ''))
    .filter((entry) => entry !== '')
  if (entries.includes('*')) return () => true
  return ({ hostname, port, protocol }) => {
    const host = unbracket(hostname).replace(/\.$/, '')
    const ports = ['', `:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`]
    const names = [host, `[${host}]`].flatMap((name) => ports.map((suffix) => name + suffix))
    return entries.some((entry) =>
      names.some((name) => name === entry || name.endsWith(`.${entry}`)),
    )
  }
}
