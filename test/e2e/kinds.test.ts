import { cp, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { type SigV4Server, startSigV4Server } from '../fakes/sigv4-server.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { quickcheck } from '../lab/quickcheck.ts'
import { runCommand } from '../lab/run-command.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(300_000)
const lab = await prepareLab()
const main = join(import.meta.dirname, '../../src/main.ts')
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE'
const bucket = {
  bucket: 'lab-cache',
  region: 'eu-west-1',
  accessKeyId: 'AKIAWEIR',
  secretAccessKey,
}

function configOf(url: string) {
  return { upstreams: [{ name: 'lab', url, keys: [lab.publicKey] }] }
}

/** All files of the folder, but the big ones. */
async function fill({ objects }: SigV4Server, dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    objects.set(path.slice(dir.length + 1), await readFile(path))
  }
}

t.test('a mounted folder is an upstream, and says nothing once it is not mounted', async (t) => {
  const dir = join(workFolder(t), 'mirror')
  await cp(lab.caches.xz, dir, { recursive: true })
  const url = pathToFileURL(dir).href
  await using client = await createNixClient({ lab })
  await using weir = await startWeir({ config: configOf(url) })
  await t.resolves(quickcheck(client, weir.url))
  await rename(dir, `${dir}.mounted`)
  await mkdir(dir)
  const unknown = `${weir.url}/${'0'.repeat(32)}.narinfo`
  t.equal((await fetch(unknown)).status, 503, 'an empty mount point is no cache')
  const check = () => runCommand(process.execPath, [main, 'check', '--config', weir.configFile], {})
  const unmounted = await check()
  t.equal(unmounted.code, 1)
  t.match(unmounted.stdout, 'is it mounted?')
  await rename(dir, `${dir}.empty`)
  await rename(`${dir}.mounted`, dir)
  t.equal((await check()).code, 0)
})

t.test('a bucket is an upstream, whose credentials nobody else sees', async (t) => {
  const dir = workFolder(t)
  const credentials = join(dir, 'credentials')
  const profile = (secret: string): string =>
    `[weir]\naws_access_key_id = AKIAWEIR\naws_secret_access_key = ${secret}\n`
  await writeFile(credentials, profile(secretAccessKey))
  await using server = await startSigV4Server(bucket)
  await fill(server, lab.caches.xz)
  const url = `s3://lab-cache?endpoint=127.0.0.1:${server.port}&scheme=http&region=eu-west-1&profile=weir`
  const env = { AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_EC2_METADATA_DISABLED: 'true' }
  await using client = await createNixClient({ lab })
  await using weir = await startWeir({ config: configOf(url), env })
  await t.resolves(quickcheck(client, weir.url), 'narinfos and NARs come signed')
  t.equal((await fetch(`${weir.url}/${'0'.repeat(32)}.narinfo`)).status, 404)
  t.ok(server.requests.every(({ headers }) => headers.authorization?.includes('AKIAWEIR')))
  const args = [main, 'check', '--config', weir.configFile]
  const check = () => runCommand(process.execPath, args, { env: { ...process.env, ...env } })
  const good = await check()
  t.equal(good.code, 0, good.stdout)
  await writeFile(credentials, profile('another-secret'))
  const wrong = await check()
  t.equal(wrong.code, 1)
  t.match(wrong.stdout, 'status 403 (SignatureDoesNotMatch): the credentials are wrong')
  const seen = [
    JSON.stringify(weir.logs),
    ...[good, wrong].flatMap(({ stdout, stderr }) => [stdout, stderr]),
    await (await fetch(`${weir.url}/metrics`)).text(),
  ].join('\n')
  for (const secret of [secretAccessKey, 'another-secret', 'AWS4-HMAC', 'AKIAWEIR']) {
    t.notOk(seen.includes(secret), 'no output has it')
  }
})
