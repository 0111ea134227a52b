# Packs the guest's file system: busybox, the given files with their shared libraries, modules, the command. Sourced by `boot`.
# shellcheck shell=bash
: "${vm_scripts:?set by boot}"

# An unprivileged account beside root, for tests that give up rights. The names are the guest's only.
readonly GUEST_PASSWD='root:x:0:0:root:/root:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false'
readonly GUEST_GROUP='root:x:0:
user:x:1000:
nogroup:x:65534:'

# quote WORD..: each word quoted for any POSIX shell.
quote() {
    local word
    for word in "$@"; do
        printf "'%s' " "${word//\'/\'\\\'\'}"
    done
}

is_elf() { [ "$(head -c 4 "$1" | tr -d '\0')" = $'\x7fELF' ]; }

# guest_libraries ROOT BINARY: copies what the binary's loader would map, the loader included, each at its own path.
guest_libraries() {
    local root=$1 binary=$2 listing library
    # A static binary makes ldd fail; that is no error.
    listing=$(ldd "$binary" 2>/dev/null) || return 0
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done < <(sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p' <<<"$listing")
}

# guest_file ROOT SOURCE[:DESTINATION]: default destination is the source's own absolute path, so that paths that are
# compiled into tests hold. Executables lose their debug sections (tens of MiB), not their symbols.
guest_file() {
    local root=$1 source=${2%%:*} destination
    [ -e "$source" ] || die "no file $source to take into the guest"
    destination=$(realpath -s "$source")
    [[ $2 == *:* ]] && destination=${2#*:}
    [[ $destination == /* ]] || die "the guest's path $destination (of $source) is not absolute"
    mkdir -p "$root$(dirname "$destination")"
    cp -rL "$source" "$root$destination"
    if [ -f "$source" ] && is_elf "$source"; then
        guest_libraries "$root" "$source"
        ! command -v strip >/dev/null || strip --strip-debug "$root$destination" 2>/dev/null || true
    fi
}

# module_file TREE NAME: the module's file in the unpacked package; names treat - and _ alike.
module_file() {
    local pattern=${2//[-_]/[-_]}
    find "$1" -name "$pattern.ko" -o -name "$pattern.ko.xz" | head -n 1
}

# guest_module ROOT TREE RELEASE NAME: the module and what it needs, unpacked, in one folder with a modules.dep.
guest_module() {
    local root=$1 tree=$2 release=$3 name=$4 file needed need folder
    folder=$root/lib/modules/$release
    [ ! -e "$folder/$name.ko" ] || return 0
    file=$(module_file "$tree" "$name")
    [ -n "$file" ] || die "kernel $release has no module $name"
    mkdir -p "$folder"
    case $file in
        *.xz) xz -dc "$file" >"$folder/$name.ko" ;;
        *) cp "$file" "$folder/$name.ko" ;;
    esac
    needed=$(tr '\0' '\n' <"$folder/$name.ko" | sed -n 's/^depends=//p' | tr ',' ' ')
    for need in $needed; do
        guest_module "$root" "$tree" "$release" "$need"
    done
    echo "$name.ko:$(for need in $needed; do echo -n " $need.ko"; done)" >>"$folder/modules.dep"
}

# guest_base ROOT: what every guest has.
guest_base() {
    local root=$1 busybox
    busybox=$(command -v busybox)
    mkdir -p "$root"/{bin,etc,vm,root,home/user}
    cp -L "$busybox" "$root/bin/busybox"
    guest_libraries "$root" "$busybox"
    cp "$vm_scripts/init" "$root/init"
    chmod 755 "$root/init"
    echo "$GUEST_PASSWD" >"$root/etc/passwd"
    echo "$GUEST_GROUP" >"$root/etc/group"
    echo '127.0.0.1 localhost weir-vm' >"$root/etc/hosts"
}

# guest_command ROOT DIRECTORY ENVIRONMENT-ARRAY-NAME COMMAND..: the script that the guest's init runs.
guest_command() {
    local root=$1 directory=$2 variable
    local -n environment=$3
    shift 3
    {
        for variable in ${environment[@]+"${environment[@]}"}; do
            echo "export ${variable%%=*}=$(quote "${variable#*=}")"
        done
        echo "mkdir -p $(quote "$directory") && cd $(quote "$directory") || exit 125"
        echo "exec $(quote "$@")"
    } >"$root/vm/command"
}

# pack ROOT FILE: uncompressed, because unpacking is the guest's slowest step under emulation.
pack() {
    (cd "$1" && find . | cpio -o -H newc -R 0:0 --quiet) >"$2"
}
