//! How a password or key is obtained: from a file, a command, the environment, a person.

use crate::cli::config::SecretFrom;
use crate::cli::error::CliError;
use crate::cli::settings::{SecretSource, Settings};
use crate::cli::signals::Signals;
use crate::cli::ui::Ui;
use crate::repo::keys::{KeyFile, Passphrase, Secret};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use zeroize::Zeroizing;

/// Longest password or key that is read, in bytes.
const LONGEST: u64 = 64 << 10;
/// How often a person may try anew.
const ATTEMPTS: usize = 3;
/// How a password can be given, for those who have no terminal.
const HOW: &str =
    "give --password-file FILE, --password-command COMMAND or --key-file FILE,\nor set NIGHTSAFE_PASSWORD";

/// How the first password of a repository can be given.
pub const HOW_FIRST: &str = "--generate-password FILE or --generate-key FILE makes one; or give --password-file FILE,\n--password-command COMMAND or --key-file FILE, or set NIGHTSAFE_PASSWORD";
/// How a further one can be given.
pub const HOW_NEW: &str = "--generate-password FILE or --generate-key FILE makes one;\nor give --new-password-file FILE or --new-key-file FILE";

/// The secret that opens the repository.
pub fn obtain(settings: &Settings, ui: &Ui, signals: &Signals) -> Result<Secret, CliError> {
    match &settings.secret {
        SecretSource::Prompt => {
            prompt("password: ", HOW, ui, signals).and_then(|text| passphrase(&text, &settings.secret))
        }
        source => read(source, settings),
    }
}

/// The text of a secret that the configuration says the source of, without one final newline.
pub fn reveal(from: &SecretFrom, settings: &Settings) -> Result<Zeroizing<String>, CliError> {
    let text = match settings.source_of(from)? {
        SecretSource::Systemd(path) | SecretSource::File(path) => read_file(&path)?,
        SecretSource::PasswordCommand(command) => run(&command, settings)?,
        SecretSource::Variable(_, text) => text,
        // The configuration knows no other sources.
        source => return Err(CliError::usage(format!("{source} holds no such secret"))),
    };
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(CliError::new(crate::cli::error::Exit::Failed, format!("{from} is empty")));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The secret for a new credential: as above, but a person types it twice and hears what it is worth.
///
/// `how` says how else it can be given.
pub fn obtain_new(
    source: &SecretSource,
    how: &str,
    settings: &Settings,
    ui: &Ui,
    signals: &Signals,
) -> Result<Secret, CliError> {
    let secret = match source {
        SecretSource::Prompt => return prompt_twice(how, ui, signals),
        source => read(source, settings)?,
    };
    if let Secret::Passphrase(passphrase) = &secret
        && passphrase.strength().is_weak()
    {
        ui.warn("this password is easily guessed by whoever gets a copy of the repository; --generate-password FILE makes a strong one");
    }
    Ok(secret)
}

/// Makes a passphrase and writes it to a new file that only its owner reads.
pub fn generate_passphrase(path: &Path) -> Result<Secret, CliError> {
    let passphrase = Passphrase::generate();
    write_new(path, passphrase.reveal())?;
    Ok(Secret::Passphrase(passphrase))
}

/// Makes a key file that only its owner reads.
pub fn generate_key(path: &Path) -> Result<Secret, CliError> {
    let key = KeyFile::generate();
    write_new(path, &key.to_text())?;
    Ok(Secret::KeyFile(key))
}

/// Writes a line to a file that must not exist yet, durably: it may be the only way back.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::file(path, &error).hint("nothing is written over: choose another name, or move it away")
        }
        _ => CliError::file(path, &error),
    })
}

/// What a file, a command or a variable says.
fn read(source: &SecretSource, settings: &Settings) -> Result<Secret, CliError> {
    match source {
        SecretSource::KeyFile(path) => Ok(Secret::KeyFile(
            KeyFile::parse(&read_file(path)?).map_err(|error| CliError::failed(path.display().to_string(), &error))?,
        )),
        SecretSource::PasswordFile(path) => {
            let text = read_file(path)?;
            if is_key(&text) {
                let message = format!("{} holds a key, not a password", path.display());
                return Err(CliError::usage(message).hint("give it with --key-file"));
            }
            passphrase(&text, source)
        }
        SecretSource::Systemd(path) | SecretSource::File(path) => {
            let text = read_file(path)?;
            if is_key(&text) { Ok(Secret::KeyFile(KeyFile::parse(&text)?)) } else { passphrase(&text, source) }
        }
        SecretSource::PasswordCommand(command) => passphrase(&run(command, settings)?, source),
        SecretSource::Variable(_, text) => passphrase(text, source),
        SecretSource::Prompt => Err(CliError::usage("a password is needed").hint(HOW)),
    }
}

fn passphrase(text: &str, source: &SecretSource) -> Result<Secret, CliError> {
    let passphrase =
        Passphrase::new(text).map_err(|_| CliError::usage(format!("{source} gives no password: it is empty")))?;
    Ok(Secret::Passphrase(passphrase))
}

fn is_key(text: &str) -> bool {
    let begins_so = text.trim_start().get(..14).is_some_and(|start| start.eq_ignore_ascii_case("NIGHTSAFE-KEY-"));
    begins_so || KeyFile::parse(text).is_ok()
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let failed = |error: io::Error| CliError::file(path, &error).hint("that file was to hold a password or key");
    read_text(File::open(path).map_err(failed)?).map_err(failed)
}

/// All text of a stream, in memory that is wiped.
fn read_text(stream: impl Read) -> io::Result<Zeroizing<String>> {
    // Room for all of it from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(usize::MAX) + 1));
    stream.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too long for a password or key"));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text in UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What `command` prints; nothing of it is ever shown, since it may be the password.
fn run(command: &str, settings: &Settings) -> Result<Zeroizing<String>, CliError> {
    let mut shell = settings.withheld.command("sh");
    shell.arg("-c").arg(command).stdin(Stdio::inherit()).stdout(Stdio::piped());
    let failed = |error: io::Error| CliError::failed("the password command can't be run", &error);
    let mut child = shell.spawn().map_err(failed)?;
    let text = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), read_text);
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(CliError::new(crate::cli::error::Exit::Failed, format!("the password command failed: {status}"))
            .hint("what it printed isn't shown; try it by itself"));
    }
    text.map_err(|error| CliError::failed("what the password command printed can't be used", &error))
}

/// Asks on the terminal, without echo.
fn prompt(question: &str, how: &str, ui: &Ui, signals: &Signals) -> Result<Zeroizing<String>, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("a password is needed, and there is no terminal to ask").hint(how));
    }
    // While it waits, Ctrl-C has to come back as an error, so that the terminal's echo is turned on again.
    let _gently = signals.gently();
    ui.flush()?;
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => CliError::silent(crate::cli::error::Exit::Interrupted),
        _ => CliError::failed("the terminal can't be asked for a password", &error).hint(how),
    })
}

fn prompt_twice(how: &str, ui: &Ui, signals: &Signals) -> Result<Secret, CliError> {
    for _ in 0..ATTEMPTS {
        let first = prompt("new password: ", how, ui, signals)?;
        let Ok(passphrase) = Passphrase::new(&first) else {
            ui.alert("a password is needed");
            continue;
        };
        if passphrase.strength().is_weak() {
            ui.alert("this password is easily guessed by whoever gets a copy of the repository; four random words are a good one, and --generate-password FILE makes one");
            let answer = ui.ask("use it anyway? [y/N] ").unwrap_or_default();
            if !matches!(answer.as_str(), "y" | "Y" | "yes") {
                continue;
            }
        }
        if *prompt("once more: ", how, ui, signals)? == *first {
            return Ok(Secret::Passphrase(passphrase));
        }
        ui.alert("these were two different passwords");
    }
    Err(CliError::usage("no password was chosen").hint("--generate-password FILE makes one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::GlobalArgs;
    use crate::cli::settings::Environment;
    use crate::snapshot::child::Withheld;
    use std::os::unix::fs::PermissionsExt;

    fn settings() -> Settings {
        Settings::resolve(&GlobalArgs::default(), &Environment::default()).unwrap()
    }

    fn text(secret: Secret) -> String {
        match secret {
            Secret::Passphrase(passphrase) => passphrase.reveal().to_owned(),
            Secret::KeyFile(_) => "a key".to_owned(),
        }
    }

    #[test]
    fn the_command_says_the_password_and_its_failure_says_nothing_of_it() {
        let command = |text: &str| read(&SecretSource::PasswordCommand(text.to_owned()), &settings());
        assert_eq!(text(command("printf 'two words\\n'").unwrap()), "two words");
        let error = command("echo hush; exit 3").err().unwrap();
        assert_eq!(error.message(), "the password command failed: exit status: 3");
        assert!(!format!("{error:?}").contains("hush"));
        assert!(command("true").is_err(), "an empty password");
        assert!(command("head -c 70000 /dev/zero").is_err(), "too long");
        assert!(command("printf '\\377'").is_err(), "not UTF-8");
    }

    #[test]
    fn the_command_inherits_no_secret() {
        let mut settings = settings();
        // HOME stands in for a secret variable, since tests can't set variables.
        settings.withheld = Withheld::from_iter(["HOME"]);
        let read = read(&SecretSource::PasswordCommand("echo \"<$HOME>\"".to_owned()), &settings);
        assert_eq!(text(read.unwrap()), "<>");
    }

    #[test]
    fn files_hold_a_password_or_a_key_and_each_has_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "two words\n").unwrap();
        assert_eq!(text(read(&SecretSource::PasswordFile(path.clone()), &settings()).unwrap()), "two words");
        assert_eq!(text(read(&SecretSource::Systemd(path.clone()), &settings()).unwrap()), "two words");
        assert!(read(&SecretSource::KeyFile(path.clone()), &settings()).is_err());

        let key = folder.path().join("key");
        generate_key(&key).unwrap();
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(text(read(&SecretSource::KeyFile(key.clone()), &settings()).unwrap()), "a key");
        assert_eq!(text(read(&SecretSource::Systemd(key.clone()), &settings()).unwrap()), "a key");
        let error = read(&SecretSource::PasswordFile(key.clone()), &settings()).err().unwrap();
        assert_eq!(error.next_step(), Some("give it with --key-file"));
    }

    #[test]
    fn a_generated_secret_overwrites_nothing_and_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let made = text(generate_passphrase(&path).unwrap());
        assert_eq!(text(read(&SecretSource::PasswordFile(path.clone()), &settings()).unwrap()), made);
        assert!(generate_passphrase(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{made}\n"));
    }
}
