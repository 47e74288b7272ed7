#!/usr/bin/env bash
# What povray-and-rsync.trace.gz was recorded of: frames of the scenes that come with POV-Ray, each
# of which opens its includes and image maps, and copies of the whole tree between the shots.
# Recorded with strace (files below /usr/share, 100 s), not through a mount: opens, no reads.
set -u
out=$(mktemp -d)
for round in 1 2 3; do
  for _ in 1 2 3; do
    find /usr/share/doc/povray/examples/{objects,textures,advanced} -maxdepth 1 -name '*.pov' |
      LC_ALL=C sort | awk -v r="$round" 'NR % 3 == r - 1' | head -8 |
      while read -r scene; do
        (cd "$(dirname "$scene")" && timeout 4 povray +I"$scene" +W8 +H6 -A -D +WT1 \
          +O"$out/frame.png" +L/usr/share/povray-3.7/include) > /dev/null 2>&1 < /dev/null
      done
  done
  rsync -a --exclude='*.gz' /usr/share/doc/povray/ /usr/share/povray-3.7/ "$out/scan"
  rm -r "$out/scan"
done
rm -r "$out"
