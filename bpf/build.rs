//! Compiles the programs with clang and renders their skeleton. Needs no BTF of the build machine.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("weir.skel.rs");
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target").as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => panic!("weir's probes know x86_64 and aarch64, not {other}"),
    };
    let headers = env::var("DEP_BPF_INCLUDE").expect("libbpf-sys tells where its headers are");
    let args =
        ["-mcpu=v3", "-Wall", "-Werror", "-Wno-unused-function", &format!("-D__TARGET_ARCH_{arch}"), "-I", &headers]
            .map(String::from);
    let built = SkeletonBuilder::new()
        .source("weir.bpf.c")
        .obj(out.with_file_name("weir.bpf.o"))
        .clang_args(args)
        .build_and_generate(&out);
    if let Err(e) = built {
        panic!(
            "cannot compile the eBPF programs with clang (Debian: apt-get install clang libelf-dev zlib1g-dev): {e:#}"
        );
    }
    for path in ["weir.bpf.c", "include", "probes"] {
        println!("cargo:rerun-if-changed={path}");
    }
}
