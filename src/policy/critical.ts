/**
 * The packages that every machine's security rests on: what builds and substitutes, what every program is linked with or built by,
 * what starts the machine, lets people in, and checks who they are. What an organisation builds for itself is not among them.
 */
const critical: readonly string[] = [
  // Nix itself: it runs as root, and decides what is trusted.
  ...['nix', 'nix-cli', 'nix-cmd', 'nix-daemon', 'nix-everything', 'nix-expr', 'nix-fetchers'],
  ...['nix-flake', 'nix-main', 'nix-manual', 'nix-perl', 'nix-static', 'nix-store', 'nix-unstable'],
  ...['nix-util', 'nix-wrapped', 'lix', 'determinate-nix', 'nixos-rebuild', 'nixos-rebuild-ng'],
  // What every program is linked with, and built by.
  ...['glibc', 'glibc-locales', 'musl', 'libxcrypt', 'zlib', 'xz', 'bzip2', 'zstd'],
  ...[
    'gcc',
    'gcc-wrapper',
    'xgcc',
    'libgcc',
    'clang',
    'clang-wrapper',
    'llvm',
    'patchelf',
    'gnumake',
  ],
  ...['binutils', 'binutils-wrapper', 'expand-response-params', 'stdenv-linux', 'stdenv-darwin'],
  ...['bootstrap-tools', 'bootstrap-stage0-glibc', 'bootstrap-stage1-gcc', 'bootstrap-stage2-gcc'],
  // What starts the machine and runs its services.
  ...['systemd', 'systemd-boot', 'systemd-minimal', 'systemd-minimal-libs', 'dbus', 'dbus-broker'],
  ...['linux', 'linux-firmware', 'linux-hardened', 'linux-zen', 'linux-lts', 'kmod', 'grub'],
  ...['util-linux', 'util-linux-minimal'],
  // Who may do what, and who is who.
  ...['openssh', 'sudo', 'sudo-rs', 'doas', 'shadow', 'su', 'linux-pam', 'pam', 'polkit', 'libcap'],
  ...['openssl', 'gnutls', 'nss-cacert', 'gnupg', 'libgcrypt', 'libsodium', 'krb5', 'acl', 'attr'],
  // What every script runs, and what fetches.
  ...['bash', 'bash-interactive', 'coreutils', 'coreutils-full', 'busybox', 'findutils', 'gnugrep'],
  ...['gnused', 'gawk', 'gnutar', 'gzip', 'diffutils', 'patch', 'curl', 'git', 'git-minimal'],
]

/** Sets of packages that ship with Weir, by the names under which rules take them. */
export const packageSets: ReadonlyMap<string, readonly string[]> = new Map([
  ['@critical', critical],
])
