import { gunzipSync } from 'node:zlib'

/** A catalog's file as a Weir wrote it whose catalogs had version 1, with the records of two NARs. */
export const catalogVersion1 = gunzipSync(
  Buffer.from(
    'H4sIAAAAAAACA+3ZTYvTQBgH8JlJurrdNhG6S/U2LggtlLIv7IKebNcgxabVboQWD2FqsybQF81MwB4rePLsZ/CDeBXE' +
      'D+Gydy/elDTFwtKuUiiL8P9BQoZn8sxbcpjk9Fk9UB4/G4UDofghuUUYIw85J4QwQohO5i6X6ey4CiPlj1+y5k+iGRli' +
      'vDC/GRkCAAAAAAAA18zWNvJ3czQKhj3v7VCEbnfsRtIbilA/aVkVx+K1xiOrzech3mzEJV6IpNdzhSrxs6Dvud2x8mTx' +
      'naQ38rkcfW8r0e3HaYYiZLNMTqVat5J70zzmC+nzhGO1Hd5oOrzxvF4vJeG4zVmVReHotVShJwZLwi/7Ihgkyav1ZvVy' +
      'eN5pXms41mOrtbBG0v6i/J4Sr67ovFSjcDo/fFn+2fzFl0tqPG3V7Eqrw59YHV6Ie1L6MyfFuEaRnzqt2olzj23k7+co' +
      'mS6ifNMPlOeKSI2mZTe+ZX8oQo0QcjNe82y8STfKxNwxyngDAAAAAAAAIDHpsS07umPQiTZOpfb/Ym8FyveCUNJt6YuD' +
      'o+MHByvYPVzBLv3w9btPp2c28emWHe3cZtNh7q3BKAol+ZXOfi5oF9c61HS8/zdtYn4ybTzfAAAAAAAAAP+go9sRXcdX' +
      'EdbW7WhzHR8ikv3/OTHPzR9YQAAAAAAAAID/WUZP0dkP/22W0VNsMyloF78BJ5aOTwBAAAA=',
    'base64',
  ),
)
