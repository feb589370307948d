import { quoteName } from './describe-found.ts'
import { formatKeyPath } from './key-path.ts'
import { isLoopbackHost } from './loopback.ts'
import { ignoredS3Keys } from './s3-url.ts'
import { type SettingsDocument } from './schema.ts'
import { takenEntries } from './shadowed-rules.ts'

/** What is allowed, and yet seldom meant; a sentence each. */
export function findWarnings(document: SettingsDocument): readonly string[] {
  const { upstream, policy } = document
  const keyless = upstream.filter((each) => each.keys.length === 0 && !each.insecure_unsigned)
  const unsigned = upstream.filter((each) => each.insecure_unsigned)
  return [
    ...keyless.map(
      ({ name }) => `The upstream "${name}" has no keys: it gives only content-addressed paths.`,
    ),
    ...unsigned.map(
      ({ name }) =>
        `The upstream "${name}" is insecure_unsigned: its paths need no signature; Weir never signs them.`,
    ),
    ...readable(document).map(
      (name) =>
        `The upstream "${name}" is shown its credentials over http: whoever is on the way can read them.`,
    ),
    ...upstream.flatMap(passedOver),
    ...unreachable(document).map(
      (name) =>
        `The upstream "${name}" is allowed by no rule, and policy.unmatched is "deny": nothing is ever taken from it.`,
    ),
    ...askedTooLate(upstream),
    ...partlyTaken(document),
    ...(policy.enforce
      ? []
      : [
          'policy.enforce is false, report only: what the rules would refuse is served, and not signed by Weir.',
        ]),
  ]
}

/** The upstreams on other machines that are shown what is written for them without encryption. */
function readable({ upstream }: SettingsDocument): readonly string[] {
  return upstream
    .filter(({ token_file, user, headers }) => token_file ?? user ?? headers[0])
    .filter(({ url }) => isOpenRoad(url))
    .map(({ name }) => name)
}

function isOpenRoad(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && !isLoopbackHost(hostname)
}

/** Keys of an S3 URL that only Nix goes by. */
function passedOver({
  name,
  url,
  mirrors,
}: SettingsDocument['upstream'][number]): readonly string[] {
  const keys = new Set([url, ...mirrors].flatMap(ignoredS3Keys))
  if (keys.size === 0) return []
  const listed = [...keys].map((key) => quoteName(key)).join(', ')
  return [
    `The upstream "${name}" has a URL with ${listed}: Weir only reads, and passes over what says how Nix writes or asks.`,
  ]
}

/** The upstreams that nothing is allowed from; `import` only where it was given keys. */
function unreachable(document: SettingsDocument): readonly string[] {
  const { policy, rule, upstream, import: imported } = document
  if (policy.unmatched === 'allow' || rule.some(({ from }) => from === undefined)) return []
  const names = upstream.map(({ name }) => name)
  const allowed = new Set(rule.flatMap(({ from = [] }) => from))
  return [...names, ...(imported.keys.length > 0 ? ['import'] : [])].filter(
    (name) => !allowed.has(name),
  )
}

/** Private upstreams that come after others: what is asked of them was asked of those before. */
function askedTooLate(upstreams: SettingsDocument['upstream']): readonly string[] {
  const open = upstreams.filter((each) => !each.private)
  return upstreams
    .filter((each) => each.private && open.some(({ tier }) => tier < each.tier))
    .map(
      ({ name, tier }) =>
        `The upstream "${name}" is private and has tier ${tier}: others are asked first, and see what is asked of it. With the lowest tier it is asked alone.`,
    )
}

function partlyTaken({ rule: rules }: SettingsDocument): readonly string[] {
  return takenEntries(rules).flatMap((taken, index) =>
    taken.map(({ list, position, by }) => {
      const rule = rules[index]
      const entry = `${formatKeyPath([list, position])} ${quoteName(rule?.[list][position] ?? '')}`
      const takers = by.map((place) => quoteName(rules[place]?.name ?? ''))
      return `The rule ${quoteName(rule?.name ?? '')} never decides for ${entry}: earlier rules do, ${takers.join(', ')}.`
    }),
  )
}
