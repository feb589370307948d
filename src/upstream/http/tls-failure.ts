import { UpstreamError } from '../../ports/upstream.ts'
import { causes, codeOf } from '../upstream-failure.ts'

/** What is wrong with a certificate, by the code of OpenSSL's or Node's. */
const verdicts: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_REVOKED: 'was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed: if that is meant, name it in ca_file',
  SELF_SIGNED_CERT_IN_CHAIN:
    'comes from an authority that is not known: if that is meant, name it in ca_file',
  UNABLE_TO_GET_ISSUER_CERT:
    'comes from an authority that is not known: if that is meant, name it in ca_file',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'comes from an authority that is not known: if that is meant, name it in ca_file',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'comes from an authority that is not known: if that is meant, name it in ca_file',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is for another name',
  HOSTNAME_MISMATCH: 'is for another name',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
  CERT_UNTRUSTED: 'is not trusted',
  CERT_REJECTED: 'was rejected',
  CERT_CHAIN_TOO_LONG: 'has too long a chain',
  INVALID_CA: 'comes from what is no authority',
  INVALID_PURPOSE: 'is for another purpose',
  PATH_LENGTH_EXCEEDED: 'has too long a chain',
}

/** A failure of TLS between Weir and a host as an UpstreamError `tls`; `null` for any other failure. */
export function tlsFailure(error: unknown, host: string): UpstreamError | null {
  for (const cause of causes(error)) {
    if (cause instanceof UpstreamError) return null
    const code = codeOf(cause)
    const verdict = verdicts[code]
    if (verdict !== undefined) {
      return new UpstreamError('tls', `the certificate of ${host} ${verdict} (${code})`, {
        cause: error,
      })
    }
    if (
      /^ERR_SSL_.*ALERT.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)|^ERR_SSL_.*ALERT_HANDSHAKE/.test(
        code,
      )
    ) {
      const what =
        'does not accept the certificate of Weir, or the want of one: see certificate_file'
      return new UpstreamError('tls', `${host} ${what} (${code})`, { cause: error })
    }
    if (code.startsWith('ERR_SSL_') || code === 'EPROTO') {
      return new UpstreamError('tls', `no TLS with ${host} (${code})`, { cause: error })
    }
  }
  return null
}
