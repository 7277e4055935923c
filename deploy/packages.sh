#!/usr/bin/env bash
# Looks for the programs that the tests, the demo or the bench start, and installs what is missing from Debian's packages.
# The tests' OpenID provider comes from npm, into target/provider.
#
#   deploy/packages.sh            what the tests and the demo need
#   deploy/packages.sh bench      what the bench needs beside that
#   deploy/packages.sh --list     only says what is missing; exit code 1 if anything is
#
# It installs as root, or by sudo if that asks for no password. Otherwise it says the command and stops.
set -euo pipefail

# Servers live in sbin, which is not in everybody's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program or file, and the package that has it
for_tests='
cobc                                  gnucobol
lighttpd                              lighttpd
javac                                 default-jdk-headless
/usr/share/java/tomcat10-embed-core.jar libtomcat10-embed-java
prometheus                            prometheus
promtool                              prometheus
curl                                  curl
openssl                               openssl
/etc/ssl/certs/ca-certificates.crt    ca-certificates
chromium                              chromium
gcc                                   gcc
/usr/include/stdio.h                  libc6-dev
make                                  make
git                                   git
/usr/share/postgresql-common/pg_wrapper postgresql
redis-server                          redis-server
setpriv                               util-linux
node                                  nodejs
npm                                   npm
'
for_bench='
haproxy     haproxy
nginx       nginx-light
wrk         wrk
openssl     openssl
taskset     util-linux
'

list_only=no
wanted=$for_tests
for argument in "$@"; do
    case $argument in
        --list) list_only=yes ;;
        bench) wanted=$for_bench ;;
        *) echo "usage: $0 [--list] [bench]" >&2; exit 2 ;;
    esac
done

is_there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing=()
while read -r thing package; do
    if [ -n "$thing" ] && ! is_there "$thing"; then
        missing+=("$package")
    fi
done <<<"$wanted"

# An OpenID provider that a test starts, from npm, in the versions of its lock file and without anybody's install scripts.
provider() {
    local source=tests/suite/provider folder=target/provider
    cd "$(dirname "$0")/.."
    if [ "$wanted" != "$for_tests" ] || cmp -s $source/package-lock.json $folder/installed; then
        return
    fi
    mkdir -p $folder
    cp $source/package.json $source/package-lock.json $folder
    echo "packages.sh: installing an OpenID provider for tests from npm"
    if ! npm ci --prefix $folder --ignore-scripts --no-audit --no-fund; then
        echo "packages.sh: npm could not install it; the tests that need it will say so" >&2
        return
    fi
    cp $source/package-lock.json $folder/installed
}

if [ ${#missing[@]} -eq 0 ]; then
    [ $list_only = yes ] || provider
    exit 0
fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
command_line="apt-get install -y --no-install-recommends ${missing[*]}"

if [ $list_only = yes ]; then
    printf '%s\n' "${missing[@]}"
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "packages.sh: these Debian packages are needed, and there is no apt-get: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    root=()
elif sudo -n true 2>/dev/null; then
    root=(sudo -n)
else
    echo "packages.sh: please run:  sudo $command_line" >&2
    exit 1
fi

# A server that its package starts would take a port and a place in memory that nobody asked for.
quiet=/usr/sbin/policy-rc.d
if [ ! -e $quiet ]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $quiet >/dev/null
    "${root[@]}" chmod 755 $quiet
    trap '"${root[@]}" rm -f $quiet' EXIT
fi

apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$@"
}

echo "packages.sh: installing ${missing[*]}"
apt update
apt install -y --no-install-recommends "${missing[@]}"
provider
