declare module 'unbzip2-stream' {
  /** A classic stream that decodes bzip2 inside `write` and `end`. */
  const unbzip2: () => NodeJS.ReadWriteStream
  export default unbzip2
}
