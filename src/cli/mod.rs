//! The command line: the only module that prints, reads the environment or asks a person.

/// Runs the program.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
