/**
 * How Nix splits a name (`parseDrvName`): the package is what stands before the first `-` that is followed by a character that is
 * not a letter, the version what stands behind it. A name without such a `-` is a package as a whole.
 */

/** The package of a store path's name; a trailing `.drv` is no part of it. */
export function packageOf(name: string): string {
  const bare = withoutDrv(name)
  return bare.slice(0, splitAt(bare))
}

/** What stands behind the package, a trailing `.drv` included; empty where there is nothing. */
export function versionOf(name: string): string {
  const bare = withoutDrv(name)
  const at = splitAt(bare)
  return at === bare.length ? '' : name.slice(at + 1)
}

function withoutDrv(name: string): string {
  return name.endsWith('.drv') ? name.slice(0, -'.drv'.length) : name
}

function splitAt(name: string): number {
  const hyphen = /-[^a-zA-Z]/.exec(name)
  return hyphen?.index ?? name.length
}
