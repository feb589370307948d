import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun, runCommand } from './run-command.ts'

/** A certificate and its secret key, as files and as text, in PEM. */
export type Certificate = {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

export type CertificateOptions = {
  /** As openssl writes them: `DNS:cache.test,IP:127.0.0.1`. */
  readonly names: string
  /** Whether its time has passed; it has not unless told. */
  readonly isExpired?: boolean
}

/** Certificates as an organisation makes them: by an authority that no machine knows of itself. */
export type Authority = Certificate & {
  readonly issue: (name: string, options: CertificateOptions) => Promise<Certificate>
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** Whether openssl is there, which makes the certificates. */
export async function hasOpenssl(): Promise<boolean> {
  const { code } = await runCommand('openssl', ['version']).catch(() => ({ code: null }))
  return code === 0
}

/** A certificate that vouches for itself. */
export async function makeSelfSigned(dir: string, name: string): Promise<Certificate> {
  const [certFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)]
  const out = ['-keyout', keyFile, '-out', certFile, '-days', '2']
  const of = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  await mustRun('openssl', ['req', '-x509', ...newKey, ...out, ...of])
  return await read(certFile, keyFile)
}

/** Makes an authority, whose files are in the folder. */
export async function makeAuthority(dir: string): Promise<Authority> {
  const own = await makeSelfSigned(dir, 'authority')
  const issue: Authority['issue'] = async (name, { names, isExpired = false }) => {
    const file = (extension: string) => join(dir, `${name}.${extension}`)
    const extensions = ['-addext', `subjectAltName=${names}`]
    const wanted = ['-keyout', file('key'), '-out', file('csr'), '-subj', `/CN=${name}`]
    await mustRun('openssl', ['req', '-new', ...newKey, ...wanted, ...extensions])
    const by = ['-CA', own.certFile, '-CAkey', own.keyFile, '-CAcreateserial']
    const time = ['-days', isExpired ? '-1' : '2']
    const signed = ['-copy_extensions', 'copy', '-in', file('csr'), '-out', file('pem')]
    await mustRun('openssl', ['x509', '-req', ...by, ...time, ...signed])
    return await read(file('pem'), file('key'))
  }
  return { ...own, issue }
}

async function read(certFile: string, keyFile: string): Promise<Certificate> {
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { certFile, keyFile, cert, key }
}
