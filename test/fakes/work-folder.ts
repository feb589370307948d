import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A new folder for a test, removed after everything that the test tears down later than this call: tap's own `testdir` goes
 * before any teardown, under the feet of what still writes there.
 */
export function workFolder(t: { teardown(act: () => unknown): unknown }): string {
  const dir = mkdtempSync(join(tmpdir(), 'weir-test-'))
  t.teardown(() => {
    rmSync(dir, { recursive: true, force: true })
  })
  return dir
}
