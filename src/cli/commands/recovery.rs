//! The recovery page: what somebody needs to get the backups back with nothing but an empty machine. `init` writes one, and `key recovery`.
//!
//! It holds no secret, unless the words of a key file are asked for. Its commands are lines that begin with seven spaces; a test types them as they stand there.

use crate::cli::commands::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::ui::shell::quoted;
use crate::cli::ui::{clean, units};
use crate::cli::{json, password, settings};
use crate::repo::keys::credential::Method;
use crate::repo::keys::{KeyFile, Secret};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::url::{self, StoreUrl};
use crate::snapshot::backup::now;
use crate::snapshot::tree::path::escape_name;
use clap::Args;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How many words stand in a line.
const WORDS_PER_LINE: usize = 6;
/// What the program was built from, if that was said when it was built (`scripts/release` does).
const COMMIT: Option<&str> = option_env!("NIGHTSAFE_COMMIT");
/// The program that runs, whatever became of its file.
const MYSELF: &str = "/proc/self/exe";

/// What the page is to hold.
#[derive(Debug, Args)]
pub struct RecoveryArgs {
    /// Write it to this new file, which only its owner reads, instead of printing it
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// With the key file in use as 24 words: whoever reads the page then reads every backup
    #[arg(long, requires = "to")]
    words: bool,
}

/// What opens the repository.
enum Opener {
    /// A password, which isn't on the page.
    Password,
    /// A key file, which isn't on the page.
    KeyFile,
    /// A key file whose words are on the page.
    Words(Zeroizing<String>),
}

impl Opener {
    fn of(secret: &Secret) -> Self {
        match secret {
            Secret::Passphrase(_) => Self::Password,
            Secret::KeyFile(_) => Self::KeyFile,
        }
    }

    /// What opened a repository.
    fn of_open(repo: &Repo<Full>) -> Result<Self, CliError> {
        let current = repo.credentials()?.into_iter().find(|info| info.current).and_then(|info| info.what.ok());
        let is_key = current.is_some_and(|facts| matches!(facts.method, Method::KeyFile));
        Ok(if is_key { Self::KeyFile } else { Self::Password })
    }
}

/// The program that wrote the page.
struct Program {
    /// Where its file was.
    file: String,
    sha256: String,
    bytes: u64,
}

impl Program {
    fn this() -> io::Result<Self> {
        let mut file = File::open(MYSELF)?;
        let mut hasher = Sha256::new();
        let bytes = io::copy(&mut file, &mut HashWriter(&mut hasher))?;
        let sha256 = hasher.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
            text
        });
        let file = std::env::current_exe().map(|path| escape_name(path.as_os_str().as_bytes())).unwrap_or_default();
        Ok(Self { file, sha256, bytes })
    }
}

/// Hashes what is written to it.
struct HashWriter<'h>(&'h mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is on the page.
struct Page<'p> {
    /// The repository's id.
    repository: String,
    /// Where it is: a URL, or a folder's path, which may be any bytes.
    place: Vec<u8>,
    /// Whether that is a folder of the machine.
    is_folder: bool,
    /// Options of the storage that aren't secret.
    options: &'p BTreeMap<String, String>,
    /// Variables that must be set to secrets of the storage.
    variables: Vec<String>,
    /// The id of the credential, and what opens it.
    credential: String,
    opener: Opener,
    program: Program,
    host: String,
    written: String,
}

impl<'p> Page<'p> {
    fn new(repo: &Repo<Full>, opener: Opener, context: &'p Context<'_>) -> Result<Self, CliError> {
        let settings = context.settings;
        let url = StoreUrl::parse(settings.repository()?)?;
        let known = url.options();
        let folder = url.folder().map(absolute);
        let variables = settings.secret_options.keys().filter(|option| known.contains(&option.as_str()));
        let program = Program::this().map_err(|error| CliError::file(Path::new(MYSELF), &error))?;
        Ok(Self {
            repository: repo.id().to_string(),
            is_folder: folder.is_some(),
            place: folder.unwrap_or_else(|| url.to_string().into_bytes()),
            options: &settings.options,
            variables: variables.map(|option| url::secret_variable(option)).collect(),
            credential: repo.credential().to_string(),
            opener,
            program,
            host: settings::host(),
            written: units::time(now(), &TimeZone::UTC),
        })
    }

    fn render(&self) -> Zeroizing<String> {
        // Room for all of it from the start: growing would leave copies of the words behind.
        let mut page = Zeroizing::new(String::with_capacity(16 << 10));
        self.render_facts(&mut page);
        self.render_needs(&mut page);
        self.render_steps(&mut page);
        page
    }

    fn render_facts(&self, page: &mut String) {
        let kind = if matches!(self.opener, Opener::Password) { "a password" } else { "a key file" };
        let secrecy = match self.opener {
            Opener::Words(_) => "WHOEVER READS THIS PAGE READS EVERY BACKUP: keep it as you keep the key.",
            _ => "It holds no secret.",
        };
        let options: Vec<String> = self.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let rows = [
            ("Repository", self.repository.clone()),
            ("Storage", escape_name(&self.place)),
            ("Options", options.join(" ")),
            ("Opened by", format!("{kind} (key {})", &self.credential[..json::SHORT_ID])),
            ("Program", format!("nightsafe {} for {} Linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)),
            ("Commit", COMMIT.unwrap_or_default().to_owned()),
            ("It was", self.program.file.clone()),
            ("SHA-256", self.program.sha256.clone()),
            ("Length", units::size(self.program.bytes)),
        ];
        push(page, "NIGHTSAFE: HOW TO GET THE BACKUPS BACK");
        push(page, "");
        push(
            page,
            &format!("Written {} UTC on {}. For somebody with an empty machine.", self.written, clean(&self.host)),
        );
        push(page, secrecy);
        push(page, "");
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            // A host or an option may be named by somebody else.
            push(page, &format!("{name:<11} {}", clean(value)));
        }
    }

    fn render_needs(&self, page: &mut String) {
        push(page, "\nYOU NEED BESIDES\n");
        match &self.opener {
            Opener::Password => push(page, "- the password"),
            Opener::KeyFile => push(page, "- the key file"),
            Opener::Words(words) => {
                push(page, "- the key, in these 24 words:\n");
                let words: Vec<&str> = words.split(' ').collect();
                for line in words.chunks(WORDS_PER_LINE) {
                    page.push_str("    ");
                    for word in line {
                        page.push(' ');
                        page.push_str(word);
                    }
                    page.push('\n');
                }
                page.push('\n');
            }
        }
        if self.is_folder {
            push(
                page,
                "- the disk or share with the folder above; where it's mounted elsewhere, write that path below",
            );
        } else {
            push(
                page,
                "- a network, and whatever the storage asks for: its keys, or for SSH one that the host lets in",
            );
        }
    }

    fn render_steps(&self, page: &mut String) {
        push(page, "\nSTEPS\n");
        push(
            page,
            "1. Get the program into an empty folder: best a copy of the file above, kept with this page. Without one, build it",
        );
        push(
            page,
            &format!(
                "   from the source of nightsafe {}: `cargo build --release --locked` leaves target/release/nightsafe.",
                env!("CARGO_PKG_VERSION")
            ),
        );
        push(
            page,
            "   Of the copy this prints the SHA-256 above, of your own build another one; a newer version reads the backups, too.\n",
        );
        command(page, "sha256sum nightsafe");
        command(page, "chmod +x nightsafe");
        push(page, "\n2. Say where the backups are, and what opens them.\n");
        command(page, &format!("export NIGHTSAFE_REPOSITORY={}", quoted(&self.place)));
        for variable in &self.variables {
            command(page, &format!("read -rsp '{variable}: ' {variable} && export {variable}"));
        }
        match self.opener {
            Opener::Password => push(page, "\n   The password will be asked for."),
            Opener::KeyFile => {
                command(page, "export NIGHTSAFE_KEY_FILE=night.key");
                push(page, "\n   Put the key file there, under that name.");
            }
            Opener::Words(_) => {
                command(page, "umask 077");
                command(page, "export NIGHTSAFE_KEY_FILE=night.key");
                push(page, "\n   Write the 24 words into a file of that name, with an editor.");
            }
        }
        let options: String = self.options.iter().fold(String::new(), |mut text, (key, value)| {
            let _ = write!(text, " -o {}", quoted(format!("{key}={value}").as_bytes())); // writing to a String can't fail
            text
        });
        push(page, "\n3. See what there is.\n");
        command(page, &format!("./nightsafe{options} snapshots"));
        push(
            page,
            "\n4. Bring files back, here those of the newest snapshot; another one by its ID instead of `latest`.\n",
        );
        command(page, &format!("./nightsafe{options} restore latest --target restored"));
        push(page, "\n5. Databases go into a running server: ./nightsafe restore --help tells how.");
    }
}

fn push(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

fn command(page: &mut String, command: &str) {
    page.push_str("       ");
    push(page, command);
}

fn absolute(path: &Path) -> Vec<u8> {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string().into_vec()
}

/// Writes the page to a new file. Gives what was written.
fn write(page: &Page<'_>, to: &Path) -> Result<json::Recovery, CliError> {
    password::write_new(to, page.render().trim_end())?;
    Ok(json::Recovery {
        message_type: "recovery",
        file: Some(to.display().to_string()),
        sha256: page.program.sha256.clone(),
        words: matches!(page.opener, Opener::Words(_)),
        page: None,
    })
}

/// `key recovery`.
pub fn recovery(args: &RecoveryArgs, repo: &Repo<Full>, context: &Context) -> Result<Exit, CliError> {
    let ui = context.ui;
    let mut opener = Opener::of_open(repo)?;
    if args.words {
        if matches!(opener, Opener::Password) {
            return Err(CliError::usage("--words shows a key file, and a password opens this repository")
                .hint("write the password down yourself, or add a key: nightsafe key add --generate-key FILE"));
        }
        // It isn't kept in memory meanwhile.
        if let Secret::KeyFile(key) = password::obtain(context.settings, ui, context.signals)? {
            opener = Opener::Words(KeyFile::to_words(&key));
        }
    }
    let page = Page::new(repo, opener, context)?;
    let Some(to) = &args.to else {
        let text = page.render();
        if ui.is_json() {
            let sha256 = page.program.sha256.clone();
            let page = Some(text.as_str().to_owned());
            ui.json(&json::Recovery { message_type: "recovery", file: None, sha256, words: false, page })?;
        } else {
            ui.print(&text)?;
        }
        return Ok(Exit::Done);
    };
    let written = write(&page, to)?;
    if ui.is_json() {
        ui.json(&written)?;
    } else {
        let next =
            if args.words { "with the words of the key: keep it as you keep that" } else { "it holds no secret" };
        ui.say(&format!("recovery page written to {}; {next}\n", to.display()))?;
    }
    Ok(Exit::Done)
}

/// The page of a new repository, beside the file of its secret or in the current folder. A page that can't be written is no reason to fail: the repository is there.
pub fn of_new(repo: &Repo<Full>, secret: &Secret, beside: Option<&Path>, context: &Context) -> Option<PathBuf> {
    let folder = beside.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let id = repo.id().to_string();
    let to = folder.join(format!("nightsafe-recovery-{}.txt", &id[..json::SHORT_ID]));
    match Page::new(repo, Opener::of(secret), context).and_then(|page| write(&page, &to)) {
        Ok(_) => Some(to),
        Err(error) => {
            let why = error.message();
            context.ui.warn(&format!("no recovery page: {why}; `nightsafe key recovery --to FILE` writes one"));
            None
        }
    }
}
