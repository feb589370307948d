/** What a NAR parser tells about the NAR that it reads, in the NAR's order; `nar.ts` specifies the format. */

/** A regular file; `size` in bytes, `offset` that of its content's first byte within the NAR. */
export type NarFile = {
  readonly executable: boolean
  readonly size: number
  readonly offset: number
}

/**
 * The events of a parse, each optional. A node is `directory … leaveDirectory`, `file, contents*, endFile` or `symlink`; within
 * a directory each node comes after its `entry`. Names and targets that are not UTF-8 arrive with U+FFFD in them.
 */
export type NarHandler = {
  readonly directory?: () => void
  /** `rawName` is only valid during the call. */
  readonly entry?: (name: string, rawName: Uint8Array) => void
  readonly leaveDirectory?: () => void
  readonly file?: (file: NarFile) => void
  /** A part of the file's bytes: a view of the chunk that was written, not a copy. */
  readonly contents?: (chunk: Uint8Array) => void
  readonly endFile?: () => void
  /** `rawTarget` is only valid during the call. */
  readonly symlink?: (target: string, rawTarget: Uint8Array) => void
}
