/** Whether upstreams are asked: `offline` not, since the configuration says so; `all-down`: they are, and none of them answers. */
export type NetworkState = 'online' | 'offline' | 'all-down'
