# shellcheck shell=bash
# What the programs in tools/ share: where the project is, how they speak, how they become root.
#
# Sourced, never run. It changes nothing on the machine by being sourced.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck disable=SC2034  # read by the scripts that source this
VENV=$ROOT/.venv
PROGRAM=tools/$(basename -- "$0")

say() { printf '%s: %s\n' "$PROGRAM" "$*"; }

warn() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die MESSAGE [FIX]: one message that names the thing and what to do about it.
die() {
    warn "$1"
    if [ $# -gt 1 ]; then printf '  fix: %s\n' "$2" >&2; fi
    exit 1
}

can_become_root() { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; }

# as_root COMMAND...: run it as root, by sudo where we are somebody else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The kernel's device may be 0600 (containers): then only root can mount. A render node's service
# user and the unprivileged tests need what Debian's udev rule gives, which is 0666.
open_fuse_device() {
    if [ ! -e /dev/fuse ] && [ "$(id -u)" -eq 0 ]; then modprobe fuse 2>/dev/null || true; fi
    if [ ! -e /dev/fuse ]; then
        die "/dev/fuse does not exist, so nothing can be mounted here" \
            "load the kernel module (modprobe fuse); in a container, give it the device (--device /dev/fuse)"
    fi
    local mode
    mode=$(stat -c %a /dev/fuse)
    if [ "$mode" = 666 ]; then return 0; fi
    if [ "$(id -u)" -eq 0 ]; then
        say "/dev/fuse is $mode: setting 666, so that unprivileged users can mount too"
        chmod 666 /dev/fuse
    elif [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        die "/dev/fuse is $mode, so $(id -un) cannot mount" "sudo chmod 666 /dev/fuse"
    fi
}
