/** Not what follows `https:`, nor what a peer says of the store and its NARs. */
const ownFile = /(?:^|[\s'"(=])\/(?!nix\/store(?![\w-])|nar\/)|\bfile:\/\//

/** Why something is so, for everybody: a file of this machine that it names is for its operator. */
export function reasonForAll(reason: string): string {
  return ownFile.test(reason) ? 'see the log of Weir' : reason
}
