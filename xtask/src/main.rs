//! The command line of the workspace; everything is in the library beside it.

fn main() -> std::process::ExitCode {
    xtask::run()
}
