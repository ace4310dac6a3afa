//! The `nightsafe` program.

fn main() -> std::process::ExitCode {
    nightsafe::cli::run()
}
