/** What a client says went wrong, as it heard it from Weir where it did, without hashes and ports: one line that fits a table. */
export function fewWords(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim())
  const bodies = lines.flatMap((line, index) =>
    line === 'response body:' ? (lines[index + 2] ?? []) : [],
  )
  // The first one says most: later ones only that it failed before.
  const said = bodies[0] ?? lines.find((line) => /^error: |was killed by/.test(line)) ?? ''
  const plain = said
    .replace(/; retrying in.*/, '')
    .replaceAll(/\b[0-9a-z]{32}\b/g, '…')
    .replaceAll(/:\d{4,5}\b/g, '')
    .replaceAll('|', '/')
  return plain.length > 160 ? `${plain.slice(0, 160)}…` : plain
}
