#!/usr/bin/env node
import { availableParallelism, homedir } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { runCli } from './cli/run-cli.ts'

/* Files, zstd and DNS share libuv's threads: 4 by default, which a few NARs hold up. Read when the first of them starts. */
process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(8, 4 * availableParallelism()))
/*
 * V8 lets the young generation grow to 128 MiB on a large machine, and twice as many bytes of buffers with it. Weir's
 * memory is to be bounded by what it does, not by the machine: it stays as small as it starts.
 */
setFlagsFromString('--semi-space-growth-factor=1')

// Whoever reads may have read enough, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(1)
})

const status = await runCli(process.argv.slice(2), {
  env: process.env,
  homeDir: homedir(),
  cores: availableParallelism(),
  out: (text) => process.stdout.write(text),
  write: (bytes) =>
    new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => {
        if (error) reject(error)
        else resolve()
      })
    }),
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY,
  signals: process,
})
process.exit(status)
