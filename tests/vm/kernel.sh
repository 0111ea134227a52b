# Finds and unpacks Debian kernels without installing them. Sourced by `boot`.
#
# Kernels are kept under $vm_cache/<release>/ ({boot,lib/modules} as in the package). Where the machine's own apt does not
# offer the version (Ubuntu, another Debian), a private apt root with Debian's archive and its key is asked; nothing of the
# machine's own apt changes.
# shellcheck shell=bash
: "${vm_cache:?set by boot}"

readonly DEBIAN_MIRROR=http://deb.debian.org/debian
readonly DEBIAN_SECURITY_MIRROR=http://deb.debian.org/debian-security
readonly DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly KERNEL_FLAVOUR=cloud-amd64

# debian_suite VERSION: the Debian release whose stock kernel has that version.
debian_suite() {
    case $1 in
        5.10) echo bullseye ;;
        6.1) echo bookworm ;;
        6.12) echo trixie ;;
        *) return 1 ;;
    esac
}

# newest_release VERSION [APT-OPTION..]: the newest kernel release of that version that apt offers, e.g. 6.1.0-56-cloud-amd64.
newest_release() {
    local version=$1
    shift
    apt-cache "$@" pkgnames "linux-image-$version." \
        | sed -n "s/^linux-image-\([^ ]*-$KERNEL_FLAVOUR\)\$/\1/p" | sort -V | tail -n 1
}

# cached_release VERSION: the newest one that is unpacked already.
cached_release() {
    local found
    found=$(find "$vm_cache" -maxdepth 1 -name "$1.*-$KERNEL_FLAVOUR" -printf '%f\n' | sort -V | tail -n 1)
    [ -n "$found" ] && echo "$found"
}

# fetch_release RELEASE [APT-OPTION..]: downloads and unpacks; the last rename makes it visible as a whole.
fetch_release() {
    local release=$1 scratch
    shift
    scratch=$(mktemp -d "$vm_cache/fetch.XXXXXX")
    say "fetching linux-image-$release by apt"
    # apt would warn that its own user cannot write here; the download is checked either way.
    if (cd "$scratch" && apt-get -q "$@" -o APT::Sandbox::User="$(id -un)" download "linux-image-$release") >&2 \
        && dpkg -x "$scratch"/linux-image-*.deb "$scratch/unpacked" \
        && { [ -e "$vm_cache/$release" ] || mv "$scratch/unpacked" "$vm_cache/$release"; }; then
        rm -rf "$scratch"
        return 0
    fi
    rm -rf "$scratch"
    return 1
}

# private_apt SUITE: fills $private_apt_options, the options that make apt use a root of its own for that suite.
private_apt() {
    local suite=$1 root=$vm_cache/apt-$1
    [ -e "$DEBIAN_KEYRING" ] || return 1
    mkdir -p "$root"/{lists/partial,cache/archives/partial}
    printf 'deb [signed-by=%s] %s %s main\n' \
        "$DEBIAN_KEYRING" "$DEBIAN_MIRROR" "$suite" \
        "$DEBIAN_KEYRING" "$DEBIAN_SECURITY_MIRROR" "$suite-security" >"$root/sources.list"
    : >"$root/status"
    private_apt_options=(
        -o "Dir::Etc::SourceList=$root/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$root/lists" -o "Dir::State::Status=$root/status" -o "Dir::Cache=$root/cache"
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o "APT::Sandbox::User=$(id -un)"
    )
    say "asking Debian's archive ($suite) through a private apt root"
    apt-get -q "${private_apt_options[@]}" update >&2
}

# provide_kernel VERSION: prints the release that is now unpacked in the cache, or returns 1.
provide_kernel() {
    local version=$1 release suite
    local private_apt_options=()
    if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
        release=$(newest_release "$version")
        if [ -n "$release" ]; then
            if [ -e "$vm_cache/$release" ] || fetch_release "$release"; then
                echo "$release"
                return
            fi
        elif ! cached_release "$version" >/dev/null && suite=$(debian_suite "$version") && private_apt "$suite"; then
            release=$(newest_release "$version" "${private_apt_options[@]}")
            [ -n "$release" ] && fetch_release "$release" "${private_apt_options[@]}" && echo "$release" && return
        fi
    fi
    cached_release "$version"
}
