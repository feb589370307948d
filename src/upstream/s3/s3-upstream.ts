import type { Upstream } from '../../ports/upstream.ts'
import { parseS3Url, type S3Address } from '../../settings/s3-url.ts'
import type { Lookup } from '../http/guarded-connector.ts'
import { createHttpClient, type HttpClient } from '../http/http-client.ts'
import { createHttpUpstream } from '../http/http-upstream.ts'
import { judgeS3Answer } from './s3-answer.ts'
import {
  createS3Credentials,
  loadAwsCredentials,
  type LoadCredentials,
  type S3Credentials,
} from './s3-credentials.ts'
import { asS3Url, reachOfS3Url } from './s3-reach.ts'
import { signS3Request } from './s3-signer.ts'
import type { UpstreamOptions } from '../upstream-options.ts'

export type S3World = {
  readonly load: LoadCredentials
  readonly nowMs: () => number
  readonly lookup?: Lookup
}

const realWorld: S3World = { load: loadAwsCredentials, nowMs: Date.now }

/** A binary cache in an S3 bucket, asked by signed requests, or by plain ones where there are no credentials. */
export function createS3Upstream(
  options: UpstreamOptions,
  { load, nowMs, lookup }: S3World = realWorld,
): Upstream {
  const address = parseS3Url(options.url)
  const credentials = createS3Credentials(address.profile, load, nowMs)
  const deps = {
    address,
    credentials,
    nowMs,
    redirectHosts: options.redirectHosts,
    absentOn403: options.absentOn403,
  }
  return createHttpUpstream(
    // What proves who asks is the signature, and nothing besides.
    { ...options, url: address.root, mirrors: [], credentials: noCredentials },
    lookup === undefined ? {} : { lookup },
    {
      createClient: (...args) => createS3Client(createHttpClient(...args), deps),
      // Nix stores them compressed where its URL said so (narinfo-compression).
      acceptNarinfo: 'br, gzip, zstd, identity',
    },
  )
}

const noCredentials: UpstreamOptions['credentials'] = {
  ...{ tokenFile: null, user: null, passwordFile: null, netrcFile: null, headers: [] },
}

type S3Deps = {
  readonly address: S3Address
  readonly credentials: S3Credentials
  readonly nowMs: () => number
  readonly redirectHosts: readonly string[]
  readonly absentOn403: boolean
}

/** Signs what goes to the bucket, each step of a redirect anew, and reads what S3 says of what it refuses. */
function createS3Client(
  client: HttpClient,
  { address, credentials, nowMs, redirectHosts, absentOn403 }: S3Deps,
): HttpClient {
  return {
    async get(question) {
      const { signal } = question
      let isSigned = false
      const authorize = async (url: URL): Promise<Readonly<Record<string, string>>> => {
        const reach = reachOfS3Url(url, address, redirectHosts)
        const identity = reach && (await credentials(signal))
        isSigned = identity !== null
        if (reach === null || identity === null) return {}
        return signS3Request({ url, ...reach, credentials: identity, atMs: nowMs() })
      }
      const response = await client.get({ ...question, url: asS3Url(question.url), authorize })
      return judgeS3Answer(response, { isSigned, absentOn403, signal })
    },
    close: () => client.close(),
  }
}
