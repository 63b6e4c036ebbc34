#!/bin/bash
# Finds the libraries that Limpet links, and builds those that the system lacks or has in too old a version.
#
#   cmake/dependencies.sh [--update] [NAME ...]        NAME: uring hiredis jwt wolfssl; all when none is given
#
# For each name one line on standard output: NAME, then `system` or the folder it was built into, then its version.
# What is built comes from Debian's source packages, through an apt configuration of its own: nothing under /etc or
# /var changes, and no root is needed. Each library is built once a machine and kept under
# ${XDG_CACHE_HOME:-$HOME/.cache}/limpet, keyed by version, settings and compiler. --update fetches and builds again,
# for the fixes of a newer Debian revision.
#
# Environment:
#   WOLFSSL_VERSION  which wolfSSL (default 5.7.2; 5.9.2 works too)
#   LIMPET_SOURCES   a folder with unpacked source trees (wolfssl-5.7.2, liburing-2.9, ...) to use instead of apt
#   CC               the compiler (default cc)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/limpet
export CC=${CC:-cc}
export LC_ALL=C
WOLFSSL_VERSION=${WOLFSSL_VERSION:-5.7.2}
work=
now=none

# name, source package, wanted version, suite, and for those whose bare upstream archive will do (no Debian patches): bare
recipe() {
    case $1 in
    uring) echo "liburing 2.9 trixie" ;;
    hiredis) echo "hiredis 1.2.0 trixie" ;;
    jwt) echo "libjwt3 3.3 forky" ;;
    wolfssl)
        case $WOLFSSL_VERSION in
        5.7.*) echo "wolfssl $WOLFSSL_VERSION trixie" ;;
        *) echo "wolfssl $WOLFSSL_VERSION sid bare" ;;
        esac
        ;;
    *) fail "no dependency is called $1 (there are: uring hiredis jwt wolfssl)" ;;
    esac
}

say() {
    printf '   %s (%d s)\n' "$*" "$SECONDS" >&2
}

fail() {
    printf 'dependencies.sh: %s\n' "$*" >&2
    exit 1
}

finish() {
    local status=$?
    trap - EXIT
    if [ -n "$work" ]; then
        if [ $status -ne 0 ] && [ -s "$work/log" ]; then
            mkdir -p "$cache/failed" && cp "$work/log" "$cache/failed/$now.log"
            printf -- '--- last lines of %s\n' "$cache/failed/$now.log" >&2
            tail -n 15 "$work/log" >&2
        fi
        rm -rf "$work"
    fi
    exit $status
}

# A system library will do when pkg-config knows it in a version that is new enough.
system_version() {
    local module least
    case $1 in
    uring) module=liburing least=2.9 ;;
    hiredis) module=hiredis least=1.2 ;;
    jwt) module=libjwt least=3.3 ;;
    *) return 1 ;; # wolfSSL as packaged lacks AES-NI, the assembly and the two ways to read its keys
    esac
    command -v pkg-config >/dev/null || fail "pkg-config is missing: apt-get install pkg-config"
    pkg-config --atleast-version=$least $module && pkg-config --modversion $module
}

# Everything that the built library depends on besides its source: recipe, settings, compiler.
settings_hash() {
    {
        declare -f "build_$1"
        [ "$1" != wolfssl ] || cat "$here"/wolfssl/*
        "$CC" -dumpmachine && "$CC" --version | head -n 1
    } | sha256sum | cut -c 1-10
}

# --- sources ---------------------------------------------------------------------------------------------------------

# The machine's own Debian mirror, with its release replaced by another one, as the only (source) entry of a private apt.
apt_entries() {
    local suite=$1 codename from=/etc/apt/sources.list.d/debian.sources
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
    if [ -e $from ]; then
        sed -e "s/\b$codename\b/$suite/g" -e 's/^Types:.*/Types: deb-src/' $from |
            awk -v RS= -v ORS='\n\n' -v suite="$suite" '
                suite == "sid" && /sid-security/ { next }
                suite == "sid" { gsub(/ sid-[a-z-]+/, "") }
                { print }' >"$work/$suite/parts/limpet.sources"
    elif grep -qsE '^deb .*debian' /etc/apt/sources.list; then
        sed -nE -e '/cdrom:/d' -e "s/\b$codename\b/$suite/g" -e 's/^deb (.*debian.*)/deb-src \1/p' /etc/apt/sources.list |
            sed "s|^deb-src \([^[]\)|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \1|" |
            awk -v suite="$suite" 'suite != "sid" || !/sid-/' >"$work/$suite/parts/limpet.list"
    else
        return 1
    fi
}

private_apt() {
    local state=$work/$1 command=$2
    shift 2
    "$command" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$state/parts" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root \
        -o APT::Get::List-Cleanup=false -o Acquire::Retries=3 -o Acquire::http::Timeout=30 "$@"
}

# Prints the folder of the unpacked source tree of a package.
fetch() {
    local package=$1 wanted=$2 suite=$3 bare=${4:-} known version tree
    local advice="Check the network and the Debian mirror in /etc/apt, then run this again; or unpack the source of \
$package $wanted yourself and name its parent folder in LIMPET_SOURCES."
    if [ -n "${LIMPET_SOURCES:-}" ]; then
        for tree in "$LIMPET_SOURCES/$package-$wanted"*/; do
            [ -d "$tree" ] || fail "LIMPET_SOURCES is set, but $LIMPET_SOURCES holds no folder $package-$wanted*"
            cp -a "$tree" "$work/$package" && basename "$tree" | sed "s/^$package-//" >"$work/$package.version"
            echo "$work/$package"
            return
        done
    fi
    command -v apt-get >/dev/null ||
        fail "no apt-get on this machine to fetch $package $wanted from Debian $suite. $advice"
    command -v dpkg-source >/dev/null || fail "dpkg-source is missing: apt-get install dpkg-dev"
    if [ ! -e "$work/$suite/read" ]; then
        mkdir -p "$work/$suite/parts" "$work/$suite/lists/partial" "$work/$suite/cache"
        apt_entries "$suite" || fail "no Debian mirror found in /etc/apt to fetch $package $wanted from $suite. $advice"
        say "reading Debian $suite's list of sources"
        private_apt "$suite" apt-get --error-on=any update >>"$work/log" 2>&1 ||
            fail "cannot read Debian $suite's list of sources, for $package $wanted. $advice"
        touch "$work/$suite/read"
    fi
    known=$(private_apt "$suite" apt-cache --only-source showsrc "$package" 2>>"$work/log" |
        sed -n 's/^Version: //p' | sort -uV) || true
    version=$(grep "^${wanted//./\\.}[.+-]" <<<"$known" | tail -n 1) ||
        fail "Debian $suite has no $package $wanted (it has: ${known:-none}). $advice"
    say "fetching $package $version from Debian $suite"
    mkdir "$work/$package.fetched"
    cd "$work/$package.fetched"
    if private_apt "$suite" apt-get source "$package=$version" >>"$work/log" 2>&1; then
        tree=$(find . -mindepth 1 -maxdepth 1 -type d)
    elif [ -n "$bare" ] && private_apt "$suite" apt-get source --tar-only "$package=$version" >>"$work/log" 2>&1; then
        say "$package $version: upstream's archive only, without Debian's patches"
        version="${version%-*} (bare)"
        mkdir bare
        tar -xf "$(find . -name '*.orig.tar.*' ! -name '*.asc')" -C bare --strip-components=1
        tree=bare
    else
        fail "cannot fetch the source package $package $version from Debian $suite. $advice"
    fi
    echo "$version" >"$work/$package.version"
    echo "$work/$package.fetched/$tree"
}

# --- builds: in the unpacked tree, into the folder $1 -----------------------------------------------------------------

build_uring() {
    ./configure --prefix="$1" --cc="$CC"
    make -C src ENABLE_SHARED=0 install
    rm -rf "$1/lib/pkgconfig" "$1/man" "$1/share"
}

build_hiredis() {
    make static OPTIMIZATION=-O2 CC="$CC"
    mkdir -p "$1/lib" "$1/include/hiredis"
    cp libhiredis.a "$1/lib/"
    cp alloc.h async.h hiredis.h read.h sds.h sockcompat.h "$1/include/hiredis/"
}

build_jwt() {
    cmake -S . -B limpet -DCMAKE_C_COMPILER="$CC" -DCMAKE_BUILD_TYPE=Release -DWITH_GNUTLS=OFF -DWITH_TESTS=OFF
    cmake --build limpet --target jwt_static
    mkdir -p "$1/lib" "$1/include"
    cp limpet/libjwt.a "$1/lib/"
    find include limpet -maxdepth 1 -name 'jwt*.h' -exec cp {} "$1/include/" \;
}

# Compiled directly: configure would need autotools, and knows neither stubs nor random hook.
build_wolfssl() {
    local src="internal keys ssl tls tls13 wolfio"
    local crypt="aes asn chacha chacha20_poly1305 coding cpuid curve25519 ecc error fe_operations hash hmac kdf memory
        poly1305 random rsa sha sha256 sha512 sp_int sp_x86_64 wc_port wolfmath"
    local assembly="aes_asm aes_gcm_asm chacha_asm fe_x25519_asm poly1305_asm sha256_asm sha512_asm sp_x86_64_asm"
    local name files=() objects=()
    case $(uname -m) in
    x86_64) ;;
    *) echo "wolfSSL's recipe here is for x86-64 only" && return 1 ;;
    esac
    case $WOLFSSL_VERSION in
    5.7.*) ;;
    *)
        crypt="$crypt ge_operations sha3 wc_mlkem wc_mlkem_poly"
        assembly="$assembly sha3_asm wc_mlkem_asm"
        ;;
    esac
    for name in $src; do files+=("src/$name.c"); done
    for name in $crypt; do files+=("wolfcrypt/src/$name.c"); done
    for name in $assembly; do files+=("wolfcrypt/src/$name.S"); done
    cp "$here/wolfssl/stubs.c" limpet_stubs.c
    files+=(limpet_stubs.c)
    # shellcheck disable=SC2016 # expanded by the inner shell
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I FILE bash -euc '
        flags=
        case $1 in wolfcrypt/src/aes.c) flags="-maes -mpclmul -msse4" ;; esac
        object=${1//\//_}.o
        "$CC" -O2 -g -fPIC -Wall -ffile-prefix-map="$PWD=wolfssl" $flags -DWOLFSSL_USER_SETTINGS -DWOLFSSL_X86_64_BUILD \
            -I"$2" -I. -c "$1" -o "limpet_$object"
    ' compile FILE "$here/wolfssl"
    for name in "${files[@]}"; do objects+=("limpet_${name//\//_}.o"); done
    mkdir -p "$1/lib" "$1/include"
    ar rcs "$1/lib/libwolfssl.a" "${objects[@]}"
    find wolfssl -name '*.h' -exec cp --parents {} "$1/include/" \;
    cp "$here/wolfssl/user_settings.h" "$1/include/"
}

# ---------------------------------------------------------------------------------------------------------------------

provide() {
    local name=$1 package wanted suite bare prefix tree version
    if version=$(system_version "$name"); then
        echo "$name system $version"
        return
    fi
    read -r package wanted suite bare <<<"$(recipe "$name")"
    prefix=$cache/$name-$wanted-$(settings_hash "$name")
    if [ -e "$prefix/version" ] && [ "$update" = 0 ]; then
        echo "$name $prefix $(cat "$prefix/version")"
        return
    fi
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock -n 9 || { say "waiting for another build of the dependencies" && flock 9; }
    if [ ! -e "$prefix/version" ] || [ "$update" = 1 ]; then
        now=$name
        [ -n "$work" ] || work=$(mktemp -d "$cache/work.XXXXXX")
        : >>"$work/log"
        fetch "$package" "$wanted" "$suite" "$bare" >"$work/tree"
        tree=$(cat "$work/tree")
        version=$(cat "$work/$package.version")
        say "building $package $version"
        # In the background, because in a condition set -e would not hold.
        (cd "$tree" && "build_$name" "$work/$name.built") >>"$work/log" 2>&1 9>&- &
        wait $! || fail "$package $version does not build here"
        echo "$version" >"$work/$name.built/version"
        rm -rf "$prefix.old"
        [ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
        mv "$work/$name.built" "$prefix"
        rm -rf "$prefix.old"
        say "$package $version is ready"
    fi
    exec 9>&-
    echo "$name $prefix $(cat "$prefix/version")"
}

update=0
if [ "${1:-}" = --update ]; then
    update=1
    shift
fi
case ${1:-} in -*) fail "usage: cmake/dependencies.sh [--update] [uring|hiredis|jwt|wolfssl ...]" ;; esac
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
[ $# -gt 0 ] || set -- uring hiredis jwt wolfssl
for name in "$@"; do
    provide "$name"
done
