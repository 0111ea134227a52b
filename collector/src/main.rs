//! The program `weir`.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_collector::cli::main(&std::env::args_os().collect::<Vec<_>>())
}
