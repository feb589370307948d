/**
 * Certificates for 127.0.0.1 and upstream.test, valid from 2020 on. They were made with `openssl ca`, and the authority's secret key is
 * gone: `authority.pem` signed `good.pem` (until 2120) and `expired.pem` (until 2021); all show the key `server-key.pem`.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from '../lab/upstream-server.ts'

const dir = join(import.meta.dirname, 'certificates')
const read = (name: string): string => readFileSync(join(dir, name), 'utf8')
const key = read('server-key.pem')
const shown = (name: string): Certificate => ({ cert: read(name), key })

/** What a server may show. */
export const certificates = {
  good: shown('good.pem'),
  expired: shown('expired.pem'),
  selfSigned: shown('self-signed.pem'),
}

/** The certificate of the authority that vouches for the good one and the expired one. */
export const authorityFile = join(dir, 'authority.pem')
