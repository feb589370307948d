/** What Nix 2.8 itself wrote for two content-addressed derivations that it had built and signed, and the key's public half. */
export const realisationKey = 'ca.test-1:yTKA2aYzXX7Kdx8eJaHrJIyv9COSvPzqJxZkaU/BBX8='

export const depId = 'sha256:f480a2f10034fd374accd32af32f5d8ffd0a6eefb8e36677cc2ffee9034dd758!out'
export const topId = 'sha256:6e7aea85578b8826eef42ca7f3d4a94539e1738bead2d6523584619a663fbddd!out'

/** Without dependents. */
export const depRealisation = `{"dependentRealisations":{},"id":"${depId}","outPath":"83zpvg29y7v8zq6qhg0z635q7w2lhs1k-realised-dep-1.0","signatures":["ca.test-1:Rtw6dsAGEtHG6EOdTQgf0/HoKknuugPg96Wd8HSvDZThcz03QtVIQaFbp6mzzydzNVzS9n/RPgWs1eFWpmtnCQ=="]}`

/** With the other as its dependent. */
export const topRealisation = `{"dependentRealisations":{"${depId}":"83zpvg29y7v8zq6qhg0z635q7w2lhs1k-realised-dep-1.0"},"id":"${topId}","outPath":"wrjj95l9c9np7hlsd0kg3wn1yq3f77rp-realised-top-1.0","signatures":["ca.test-1:ILcCfD63QsvvIuSirYdoS1oZokqRhe73o9GYMgNN0UujxIGdYEIhyqG4fngXMTvddS6FgIPFgjacXJ1nv1puDg=="]}`
