declare module 'unbzip2-stream/lib/bit_iterator.js' {
  /** Reads bits of the buffers that it asks for, the highest first; `null` goes on to the next whole byte. */
  type Bits = ((count: number | null) => number) & { readonly bytesRead: number }
  const bitIterator: (nextBuffer: () => Uint8Array) => Bits
  export default bitIterator
}

declare module 'unbzip2-stream/lib/bzip2.js' {
  import type bitIterator from 'unbzip2-stream/lib/bit_iterator.js'
  type Bits = ReturnType<typeof bitIterator>
  const bzip2: {
    /** Reads a stream's header; returns its block size, in 100,000 bytes. */
    header(bits: Bits): number
    /** Decodes a block byte by byte; returns the stream's checksum so far, `null` where the stream ended instead. */
    decompress(
      bits: Bits,
      onByte: (byte: number) => void,
      scratch: Int32Array,
      blockBytes: number,
      streamCrc: number | null,
    ): number | null
  }
  export default bzip2
}
