/** What the cache may take, as it is configured now. */
export type CacheLimits = {
  readonly maxBytes: number
  /** The part of `maxBytes` that a sweep ends at, in percent. */
  readonly lowWatermark: number
  /** What must stay free of a file system of so many bytes. */
  readonly minFreeBytes: (totalBytes: number) => number
}
