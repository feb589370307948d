# What the lab's caches hold. The builders need /bin/sh and the usual small tools, no sandbox and no network.
# The two big files are made beforehand (big-files.ts) and come in as store paths.
{ compressibleSource ? null, incompressibleSource ? null }:
let
  mk = name: args: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
  } // args);
  script = text: [ "-c" text ];
in rec {
  dep = mk "dep" { args = script "mkdir $out; echo dep > $out/dep"; };

  # References dep and itself; an executable, a symlink, an empty file, an empty folder, and digests, which hardly compress.
  top = mk "top" {
    inherit dep;
    args = script ''
      mkdir -p $out/bin $out/empty-folder; : > $out/empty
      echo $dep $out > $out/references
      printf '#!/bin/sh\necho top\n' > $out/bin/top; chmod +x $out/bin/top
      ln -s $dep/dep $out/link
      i=0; while [ $i -lt 40 ]; do seq $i 2000 | sha512sum; i=$((i+1)); done > $out/digests
      echo built >&2
    '';
  };

  many = builtins.genList (i: mk "many-${toString i}" { args = script "echo ${toString i} > $out"; }) 60;
  wide = mk "wide" { deps = many; args = script "echo $deps > $out"; };

  fod = mk "fod" {
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "fod\n";
    args = script "echo fod > $out";
  };
  fodSha1Recursive = mk "fod-sha1-recursive" {
    outputHashMode = "recursive";
    outputHashAlgo = "sha1";
    outputHash = "wky5hhdjb1ljygf1vczhk08wika96rbr";
    args = script "mkdir $out; echo a > $out/a";
  };

  text = builtins.toFile "text" "see ${builtins.toFile "inner" "inner"}\n";

  contentAddressed = mk "content-addressed" {
    inherit dep;
    __contentAddressed = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    args = script "mkdir $out; echo $out $dep > $out/references";
  };

  big = name: source: mk name {
    inherit dep;
    source = builtins.storePath source;
    args = script "mkdir $out; echo $dep > $out/reference; cat $source > $out/data";
  };
  compressible = big "compressible" compressibleSource;
  incompressible = big "incompressible" incompressibleSource;
}
