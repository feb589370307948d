import type { ListedNar } from '../upkeep/list-stored.ts'
import type { Command } from './command.ts'
import { pathGlobs } from './path-globs.ts'
import { formatBytes } from './progress.ts'
import { untilInterrupted, withUpkeep } from './with-upkeep.ts'
import { isoTime } from './words.ts'

/** `weir ls` */
export const lsCommand: Command = {
  summary: 'list what is stored',
  help: `Lists the stored NARs in the order of their paths: the size of the file, when it was used last, the path.
A glob, with * and ?, is of the whole <hash>-<name> or of the name alone.

  weir ls
  weir ls 'firefox-*' --long
  weir ls --json              one JSON object a line`,
  operands: '[PATH | GLOB …]',
  options: {},
  flags: {
    long: 'also the unpacked size, the compression, the upstream, and when it was stored',
    json: 'print a JSON object a line',
  },
  async run({ world, operands, flags, load }) {
    const { settings } = await load()
    const selection = pathGlobs(operands, settings.server.storeDir)
    const format = flags.has('json') ? formatJson : flags.has('long') ? formatLong : formatShort
    return withUpkeep(world, settings, ({ upkeep }) =>
      untilInterrupted(world, async (signal) => {
        // Line by line as they come: a million of them are never in memory.
        for await (const nar of upkeep.list(selection, signal)) world.out(`${format(nar)}\n`)
        return 0
      }),
    )
  },
}

function formatJson(nar: ListedNar): string {
  return JSON.stringify(nar)
}

function formatShort({ fileBytes, usedAtMs, path }: ListedNar): string {
  return `${formatBytes(fileBytes).padStart(10)}  ${isoTime(usedAtMs)}  ${path}`
}

function formatLong(nar: ListedNar): string {
  const { fileBytes, narBytes, compression, upstream, storedAtMs, usedAtMs, path } = nar
  const unpacked = narBytes === null ? '?' : formatBytes(narBytes)
  return [
    ...[formatBytes(fileBytes).padStart(10), unpacked.padStart(10), compression.padEnd(5)],
    ...[isoTime(storedAtMs), isoTime(usedAtMs), upstream.padEnd(10), path],
  ].join('  ')
}
