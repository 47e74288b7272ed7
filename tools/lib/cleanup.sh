# shellcheck shell=bash
# Ending what a run started, and nothing else.
#
# A run marks its processes with an environment variable, which children inherit even when they
# become daemons with a session of their own, and keeps all of its mounts below one directory.
# So what it left behind can be found without guessing by name. Sourced after common.sh.

# processes_marked NAME=VALUE: the ids of all processes that carry this in their environment.
processes_marked() {
    local environment pid
    for environment in /proc/[0-9]*/environ; do
        pid=${environment#/proc/}
        pid=${pid%/environ}
        if [ "$pid" = "$$" ] || [ "$pid" = "$BASHPID" ]; then continue; fi
        if grep -qzxF -- "$1" "$environment" 2>/dev/null; then printf '%s\n' "$pid"; fi
    done
}

# end_marked NAME=VALUE: ask them to stop, wait up to five seconds, then insist.
end_marked() {
    local pids tries
    mapfile -t pids < <(processes_marked "$1")
    if [ ${#pids[@]} -eq 0 ]; then return 0; fi
    kill -TERM "${pids[@]}" 2>/dev/null || true
    for tries in $(seq 50); do
        mapfile -t pids < <(processes_marked "$1")
        if [ ${#pids[@]} -eq 0 ]; then return 0; fi
        sleep 0.1
    done
    warn "these did not stop when asked ($tries tries) and are killed: ${pids[*]}"
    kill -KILL "${pids[@]}" 2>/dev/null || true
}

# unmount_below DIRECTORY: every mount below it, deepest first, also one whose server is dead.
unmount_below() {
    local mountpoint
    awk -v top="$1/" 'index($2, top) == 1 { print length($2), $2 }' /proc/self/mounts | sort -rn | cut -d' ' -f2- |
        while IFS= read -r mountpoint; do
            mountpoint=$(printf '%b' "$mountpoint") # the kernel writes a space as \040
            fusermount3 -u -z -- "$mountpoint" 2>/dev/null || umount -l -- "$mountpoint" 2>/dev/null ||
                warn "cannot unmount $mountpoint"
        done
}
