import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** A running nginx. */
export type Nginx = AsyncDisposable & {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Bytes that it answered with so far, heads included; 0 where it keeps no log. */
  readonly bytesSent: () => Promise<number>
}

export type NginxRole =
  /** Serves a folder as it is, and keeps a log of what it sends. */
  | { readonly kind: 'static'; readonly root: string }
  /** `proxy_cache` in front of a port of 127.0.0.1, with a worker for each core where nothing else is said. */
  | { readonly kind: 'cache'; readonly upstreamPort: number; readonly workers?: number }

const startTimeoutMs = 5000

/** Starts nginx with folders of its own; throws a sentence where it is not installed. */
export async function startNginx(role: NginxRole): Promise<Nginx> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-nginx-'))
  const port = await freePort()
  const logFile = join(dir, 'sent.log')
  await Promise.all(['cache', 'temp', 'logs'].map((name) => mkdir(join(dir, name))))
  await writeFile(join(dir, 'nginx.conf'), configOf(role, { dir, port, logFile }))
  const args = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', join(dir, 'error.log')]
  const child = spawn('nginx', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    // Debian keeps it where only root looks.
    env: { ...process.env, PATH: [process.env['PATH'], '/usr/sbin'].join(delimiter) },
  })
  const stopNow = () => {
    child.kill('SIGTERM')
  }
  process.once('exit', stopNow)
  const ended = once(child, 'exit')
  const stop = async () => {
    stopNow()
    await ended.catch(() => null)
    process.off('exit', stopNow)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await Promise.race([listens(port), ended.then(() => Promise.reject(new Error('nginx ended')))])
  } catch (error) {
    await stop()
    throw isMissing(error) ? new Error(missing) : error
  }
  return {
    ...{ url: `http://127.0.0.1:${port}`, port, pid: child.pid ?? 0 },
    bytesSent: async () => {
      const lines = await readFile(logFile, 'utf8').catch(() => '')
      return lines.split('\n').reduce((sum, line) => sum + Number(line), 0)
    },
    [Symbol.asyncDispose]: stop,
  }
}

const missing =
  'nginx is not installed, and this bench measures against it: apt-get install nginx-light'

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

type Places = { readonly dir: string; readonly port: number; readonly logFile: string }

function configOf(role: NginxRole, places: Places): string {
  const { dir, port, logFile } = places
  const isRoot = process.getuid?.() === 0
  return `${isRoot ? 'user root;' : ''}
daemon off;
worker_processes ${role.kind === 'cache' ? (role.workers ?? 'auto') : 'auto'};
pid ${dir}/pid;
error_log ${dir}/error.log;
events { worker_connections 1024; }
http {
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  client_body_temp_path ${dir}/temp/body;
  proxy_temp_path ${dir}/temp/proxy;
  fastcgi_temp_path ${dir}/temp/fastcgi;
  uwsgi_temp_path ${dir}/temp/uwsgi;
  scgi_temp_path ${dir}/temp/scgi;
  ${role.kind === 'static' ? staticServer(role.root, port, logFile) : cacheServer(dir, port, role.upstreamPort)}
}
`
}

function staticServer(root: string, port: number, logFile: string): string {
  return `
  log_format sent '$bytes_sent';
  access_log ${logFile} sent;
  server { listen 127.0.0.1:${port}; root ${root}; }`
}

/** What the internet recommends to put in front of a binary cache. */
function cacheServer(dir: string, port: number, upstreamPort: number): string {
  return `
  access_log off;
  proxy_cache_path ${dir}/cache keys_zone=nix:50m max_size=10g inactive=365d use_temp_path=off;
  upstream cache { server 127.0.0.1:${upstreamPort}; keepalive 32; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://cache;
      proxy_cache nix;
      proxy_cache_valid 200 365d;
      proxy_cache_lock on;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }`
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Returns once a port of 127.0.0.1 accepts connections. */
async function listens(port: number): Promise<void> {
  const end = performance.now() + startTimeoutMs
  while (performance.now() < end) {
    const socket = connect({ host: '127.0.0.1', port })
    const accepted = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (accepted) return
    await delay(20)
  }
  throw new Error(`nginx does not listen on port ${port}`)
}
