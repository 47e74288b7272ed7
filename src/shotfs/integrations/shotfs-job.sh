# shellcheck shell=sh
# Functions of the scripts beside this file: prewarm what a job needs, and let it go again.
#
# Nothing here makes a job fail, or a node drain, unless the settings ask for it. Settings are lines
# of KEY=value in /etc/shotfs/job.conf; for scripts that run as the job's own user the environment of
# the job counts first:
#
#   SHOTFS_PREWARM           what to prewarm, between spaces: shots, paths below the mount, manifests
#   SHOTFS_PREWARM_S         how long a job may be kept waiting for it, in seconds (90)
#   SHOTFS_PREWARM_REQUIRED  1: what cannot be prewarmed in time makes the job wait or fail (0)
#   SHOTFS_COMMAND           the program (shotfs)
#   SHOTFS_CONFIG            configuration of the service
#   SHOTFS_SHOWS             where shows are mounted (/shows)

SHOTFS_JOB_CONF=/etc/shotfs/job.conf # to keep it elsewhere, change this line
NOT_PERMITTED=7   # exit code of shotfs
SAFE_PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'shotfs: %s\n' "$*" >&2; }

# read_settings own: of a script that runs as the job's own user.
# read_settings others: of a script that runs for other users, as root or as the service's user. What
# they put into the environment names no program and no file then; only what to prewarm.
read_settings() {
    whose=$1
    if [ "$whose" = others ]; then
        unset SHOTFS_COMMAND SHOTFS_CONFIG SHOTFS_SHOWS SHOTFS_PREWARM_S SHOTFS_WARM
        PATH=$SAFE_PATH
        HOME=/
        cd -- "$(dirname -- "$0")" || return # relative names mean nothing here
    fi
    if [ -r "$SHOTFS_JOB_CONF" ]; then
        while IFS='=' read -r key value; do
            case $key in '' | *[!A-Z_]*) continue ;; esac
            case $key in
            SHOTFS_[A-Z]*)
                eval "known=\${$key:-}" # capital letters only: see above
                value=${value#\"}
                [ -n "$known" ] || export "$key=${value%\"}"
                ;;
            esac
        done <"$SHOTFS_JOB_CONF"
    fi
    : "${SHOTFS_COMMAND:=shotfs}" "${SHOTFS_PREWARM_S:=90}" "${SHOTFS_PREWARM_REQUIRED:=0}"
    : "${SHOTFS_SHOWS:=/shows}"
    case $SHOTFS_PREWARM_S in '' | *[!0-9]*)
        say "SHOTFS_PREWARM_S=$SHOTFS_PREWARM_S is no number of seconds: 90 it is"
        SHOTFS_PREWARM_S=90
        ;;
    esac
}

# run_shotfs SECONDS ARGUMENTS...: with a clean environment and an end.
run_shotfs() {
    limit_s=$1
    shift
    set -- "$SHOTFS_COMMAND" "$@"
    [ -z "${SHOTFS_CONFIG:-}" ] || set -- "SHOTFS_CONFIG=$SHOTFS_CONFIG" "$@"
    env -i "PATH=$PATH" "HOME=${HOME:-/}" LC_ALL=C.UTF-8 PYTHONNOUSERSITE=1 \
        timeout --kill-after=5 "$limit_s" env "$@" >&2
}

# is_target TARGET: whether it may be handed on. For other users local files are no targets: what
# they hold could be read in a message.
is_target() {
    case $1 in -*) return 1 ;; esac
    [ "$whose" = others ] || return 0
    case /$1/ in */../* | */./*) return 1 ;; esac
    case $1 in
    "$SHOTFS_SHOWS"/*) return 0 ;;
    /* | *://*) return 1 ;;
    esac
}

# prewarm OWNER FRAMES: bring SHOTFS_PREWARM here and pin it for OWNER. FRAMES may be empty.
prewarm() {
    owner=$1 frames=$2
    [ -n "${SHOTFS_PREWARM:-}" ] || return 0
    set -f # targets are words, not patterns
    set --
    # shellcheck disable=SC2086  # words are wanted
    for target in $SHOTFS_PREWARM; do
        if is_target "$target"; then
            set -- "$@" "$target"
        else
            say "not prewarmed: $target"
        fi
    done
    set +f
    [ $# -gt 0 ] || return 0
    set -- --deadline "${SHOTFS_PREWARM_S}s" ${frames:+--frames "$frames"} -- "$@"
    status=0
    # Where no service runs, prewarm would start one, which keeps the node's own from its cache.
    run_shotfs 20 status 2>/dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        say "no service of shotfs answers ($status): the job reads on demand, once there is one"
        return "$status"
    fi
    run_shotfs "$((SHOTFS_PREWARM_S + 5))" prewarm --pin "$owner" "$@" || status=$?
    if [ "$status" -eq "$NOT_PERMITTED" ]; then
        # Pins are for the admin group. Without one the files may be evicted, but they come.
        status=0
        run_shotfs "$((SHOTFS_PREWARM_S + 5))" prewarm "$@" || status=$?
    fi
    [ "$status" -eq 0 ] || say "prewarm ended with $status; the job reads on demand what is not here"
    return "$status"
}

# release OWNER: remove the pins of OWNER. That there are none is no mistake.
release() {
    run_shotfs 20 cache unpin --owner "$1" 2>/dev/null || :
}

is_required() { [ "$SHOTFS_PREWARM_REQUIRED" = 1 ]; }
