import { withFreshKeys } from '../policy-test/fresh-keys.ts'
import { readCases } from '../policy-test/read-cases.ts'
import { runCase } from '../policy-test/run-case.ts'
import { policyOf } from '../settings/policy-of.ts'
import type { CommandInput } from './command.ts'
import { formatFailure } from './format-failure.ts'
import { count } from './words.ts'

/** Runs the cases of files against the configuration's policy, without recalls and suspensions of any state folder. */
export async function policyTest(
  { world, load }: CommandInput,
  files: readonly string[],
): Promise<number> {
  const { settings, source } = await load()
  const policy = policyOf(settings, { blocks: [], suspended: new Set() })
  const signable = withFreshKeys(policy)
  const read = await Promise.all(
    files.map(async (file) => ({ file, cases: await readCases(file, policy) })),
  )
  let [passed, failed] = [0, 0]
  for (const { file, cases } of read) {
    for (const placed of cases) {
      const result = runCase(signable, placed.test)
      if (result.mismatches.length === 0) {
        passed += 1
        world.out(`ok      ${placed.test.name}\n`)
      } else {
        failed += 1
        world.out(`not ok  ${placed.test.name}\n${formatFailure(file, placed, result, policy)}`)
      }
    }
  }
  if (!policy.enforce) {
    world.out('policy.enforce is false: cases say what would be refused once it is enforced\n')
  }
  world.out(`${count(passed + failed, 'case')} for ${source}: ${passed} ok, ${failed} not ok\n`)
  return failed === 0 ? 0 : 1
}
