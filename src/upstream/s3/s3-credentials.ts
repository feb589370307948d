import { UpstreamError } from '../../ports/upstream.ts'
import { inTime } from '../in-time.ts'
import { asUpstreamError } from '../upstream-failure.ts'

/** Who asks S3, and until when it is known by this. */
export type S3Identity = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

/** The credentials of now, `null` where there are none: then a bucket is asked as the public may. Throws `credentials`. */
export type S3Credentials = (signal: AbortSignal) => Promise<S3Identity | null>

/** Looks credentials up, wherever they come from. */
export type LoadCredentials = (profile: string | null) => Promise<S3Identity | null>

/** Keys that say nothing of their end are looked up again after this. */
const lastingMs = 5 * 60_000
/** Others are renewed so long before their end. */
const renewBeforeMs = 5 * 60_000
const retryMs = 10_000
/** A command or a service that has not answered by then never will: it is asked again. */
const longestLoadMs = 60_000

type Held = { readonly value: S3Identity | null; readonly freshUntilMs: number }

/** Keeps credentials while they are good, and renews them before they end, while the old ones are still used. */
export function createS3Credentials(
  profile: string | null,
  load: LoadCredentials,
  nowMs: () => number,
  { maxLoadMs }: { readonly maxLoadMs: number } = { maxLoadMs: longestLoadMs },
): S3Credentials {
  let held: Held | null = null
  let loading: Promise<S3Identity | null> | null = null
  const renew = async (): Promise<S3Identity | null> => {
    try {
      const value = await inTime(load(profile), AbortSignal.timeout(maxLoadMs))
      held = { value, freshUntilMs: freshUntil(value, nowMs()) }
      return value
    } catch (error) {
      if (held !== null) held = { ...held, freshUntilMs: nowMs() + retryMs }
      throw unreadable(profile, error)
    } finally {
      loading = null
    }
  }
  return async (signal) => {
    const now = nowMs()
    if (held !== null && now < held.freshUntilMs && !isOver(held, now)) return held.value
    loading ??= renew()
    if (held === null || isOver(held, now)) return await waited(loading, signal)
    loading.catch(() => undefined)
    return held.value
  }
}

async function waited<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await inTime(pending, signal)
  } catch (error) {
    throw signal.aborted ? asUpstreamError(error, signal) : error
  }
}

function freshUntil(value: S3Identity | null, now: number): number {
  const ends = value?.expiration?.getTime()
  return ends === undefined ? now + lastingMs : Math.max(now + retryMs, ends - renewBeforeMs)
}

function isOver({ value }: Held, now: number): boolean {
  return value?.expiration !== undefined && value.expiration.getTime() <= now
}

/** Without what the AWS client says of it: that may quote a command's output, or a file. */
function unreadable(profile: string | null, error: unknown): UpstreamError {
  const whose = profile === null ? 'credentials for S3' : `credentials of the profile "${profile}"`
  const kind = error instanceof Error ? ` (${error.name})` : ''
  return new UpstreamError('credentials', `the ${whose} could not be had${kind}`)
}

/**
 * As the AWS tools find them: a profile that is named from `~/.aws`, others from the environment, the default profile, a web identity,
 * or what the container or the machine is given. Loaded only when it is needed, for it is large.
 */
export async function loadAwsCredentials(profile: string | null): Promise<S3Identity | null> {
  // Files are read anew, for keys change; what the client would print is not for Weir's output.
  const options = { ignoreCache: true, logger: silent }
  if (profile !== null) {
    const { fromIni } = await import('@aws-sdk/credential-provider-ini')
    return fromIni({ ...options, profile })()
  }
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node')
  try {
    return await defaultProvider(options)()
  } catch (error) {
    const isNone = error instanceof Error && error.name === 'CredentialsProviderError'
    if (isNone && !named.some((name) => (process.env[name] ?? '') !== '')) return null
    throw error
  }
}

/** Where one of these is set, credentials are meant to be found. */
const named: readonly string[] = [
  'AWS_PROFILE',
  'AWS_ACCESS_KEY_ID',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
]

const nothing = (): void => undefined
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing }
