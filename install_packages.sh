#!/bin/sh
# Installs those of the named Debian packages that are missing, and says what and why. make calls it once.
# On a system without apt-get it prints the list and stops.
set -eu
missing=""
for package in "$@"; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed"; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "leon needs a C++20 compiler and these libraries (Debian names):$missing" >&2
    echo "install them with your package manager and remove them from PACKAGES in the Makefile" >&2
    exit 2
fi
echo "leon: installing what the build needs:$missing" >&2
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "not root, and no sudo: run as root: apt-get install$missing" >&2; exit 2; }
    as_root="sudo"
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
