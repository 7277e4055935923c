//! The `tollgate` program. Everything is in the library; see its first page.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main()
}
