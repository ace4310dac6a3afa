//! Makes the folder of a self-hosted application as it would stand on a given night, for `scripts/quickstart`.
//!
//! `sample_app DIR --night N --dump FILE`: night 1 creates DIR; a later night changes it as a day of use does: new uploads, some
//! deleted, a log that grows, another dump of the database (FILE, made by `pg_dump -Fc`), on night 3 a rotated key in `.env`.
//! The layout is that of Weavestream's compose file. The same arguments always give the same bytes, names and times; every
//! secret is made up. Nothing but the standard library, so that `rustc` alone can build it in a second.

use std::error::Error;
use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Uploads that exist on the first night, and how many each later day adds.
const FIRST_UPLOADS: u64 = 2_400;
const DAILY_UPLOADS: u64 = 35;

/// The first night: 2026-03-01 02:30:00 UTC, in seconds since 1970.
const FIRST_NIGHT: u64 = 1_772_332_200;
const DAY: u64 = 86_400;

/// Uploaded files have a median of 14 KiB and a long tail: the logarithm of their size is normally distributed.
const MEDIAN_SIZE: f64 = 14_336.0;
const SIGMA: f64 = 1.5;
const LARGEST: f64 = 24_000_000.0;

const COMPANIES: u64 = 4;

const WORDS: [&str; 16] = [
    "router", "firewall", "backup", "license", "renewal", "ticket", "switch", "printer", "invoice", "contract",
    "office", "Zürich", "server", "rack", "uplink", "password",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [app, "--night", night, "--dump", dump] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() else {
        return Err("usage: sample_app DIR --night N --dump FILE".into());
    };
    let (app, night) = (Path::new(app), night.parse::<u64>()?);
    if night == 0 {
        return Err("nights are counted from 1".into());
    }
    fs::create_dir_all(app.join("data"))?;
    write(&app.join("compose.yml"), COMPOSE.as_bytes(), 0o644, at_night(1))?;
    write_env(app, night)?;
    write_uploads(app, night)?;
    write_logs(app, night)?;
    write_dump(app, night, Path::new(dump))?;
    Ok(())
}

/// The uploads that this day brought, and the removal of those that it took away.
fn write_uploads(app: &Path, night: u64) -> Result<(), Box<dyn Error>> {
    let born = |night: u64| if night == 1 { 0 } else { FIRST_UPLOADS + (night - 2) * DAILY_UPLOADS };
    for number in born(night)..born(night + 1) {
        let upload = Upload::new(number);
        write(&app.join(&upload.path), &upload.content, 0o640, upload.time)?;
        if let Some(thumb) = upload.thumb {
            write(
                &app.join(&thumb),
                &Random::new(number, "thumb").bytes(3_000 + upload.content.len() % 5_000),
                0o640,
                upload.time,
            )?;
        }
    }
    if night > 1 {
        for number in (0..FIRST_UPLOADS).filter(|n| n % 200 == 17 * night) {
            let upload = Upload::new(number);
            let path = app.join(&upload.path);
            fs::remove_file(&path)?;
            fs::remove_dir(path.parent().ok_or("an upload lies in a folder")?)?;
            upload.thumb.map_or(Ok(()), |thumb| fs::remove_file(app.join(thumb)))?;
        }
    }
    Ok(())
}

/// One uploaded file, which its number determines.
struct Upload {
    path: PathBuf,
    content: Vec<u8>,
    /// Pictures have one.
    thumb: Option<PathBuf>,
    time: SystemTime,
}

impl Upload {
    fn new(number: u64) -> Self {
        let mut random = Random::new(number, "upload");
        let company = PathBuf::from(format!("data/files/company-{:04}", 1 + random.below(COMPANIES)));
        let id = random.uuid();
        let size = random.size();
        let word = WORDS[usize::try_from(random.below(16)).unwrap_or(0)];
        let serial = random.below(10_000);
        let kind = random.below(10);
        let (name, content) = match kind {
            0..4 => (format!("IMG_{serial:04}.jpg"), random.bytes(size)),
            4..7 => (format!("{word} {serial:04}.pdf"), random.bytes(size)),
            7..9 => (format!("{word}-{serial}.csv"), random.table(size)),
            // The same price list, sent in by everybody.
            _ => ("price list.pdf".to_owned(), Random::new(0, "price list").bytes(180_000)),
        };
        let thumb = (kind < 4).then(|| company.join(format!("thumbs/{id}.webp")));
        let age = if number < FIRST_UPLOADS { random.below(300 * DAY) } else { random.below(DAY) };
        let last_night = if number < FIRST_UPLOADS { 1 } else { 2 + (number - FIRST_UPLOADS) / DAILY_UPLOADS };
        let time = at_night(last_night) - Duration::from_secs(age) + Duration::from_nanos(random.below(1_000_000_000));
        Self { path: company.join("uploads").join(id).join(name), content, thumb, time }
    }
}

/// A log per company that grows at its end.
fn write_logs(app: &Path, night: u64) -> Result<(), Box<dyn Error>> {
    for company in 1..=COMPANIES {
        let log = Random::new(company, "log").table(1_000_000 + usize::try_from(night)? * 30_000);
        let path = app.join(format!("data/files/company-{company:04}/exports/audit-log.csv"));
        write(&path, &log, 0o640, at_night(night))?;
    }
    Ok(())
}

/// What the application's own schedule leaves: a dump, its manifest, and a link to the newest.
fn write_dump(app: &Path, night: u64, dump: &Path) -> Result<(), Box<dyn Error>> {
    let folder = app.join("data/backup");
    let stem = format!("weavestream-postgres-2026-03-{night:02}T02-30-00Z");
    let file = folder.join(format!("{stem}.dump"));
    let bytes = fs::read(dump).map_err(|e| format!("{}: {e}", dump.display()))?;
    write(&file, &bytes, 0o640, at_night(night))?;
    #[expect(clippy::disallowed_methods, reason = "the sample holds no secret of ours")]
    let sum = Command::new("sha256sum").arg(&file).output()?.stdout;
    let sum = std::str::from_utf8(&sum)?.split(' ').next().filter(|sum| sum.len() == 64).ok_or("sha256sum failed")?;
    let manifest = format!(
        "{{\n  \"weavestreamVersion\": \"1.8.2\",\n  \"prismaMigrationHash\": \"sha256:{}\",\n  \"passwordEncryptionKid\": \"{}\",\n  \
         \"databaseUrlHostname\": \"postgres\",\n  \"generatedAt\": \"2026-03-{night:02}T02:30:00.000Z\",\n  \
         \"filename\": \"{stem}.dump\",\n  \"sizeBytes\": {},\n  \"sha256\": \"{sum}\"\n}}\n",
        Random::new(1, "migrations").hex(32),
        key_number(night),
        bytes.len()
    );
    write(&folder.join(format!("{stem}.manifest.json")), manifest.as_bytes(), 0o640, at_night(night))?;
    let link = folder.join("latest.dump");
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    symlink(format!("{stem}.dump"), link)?;
    Ok(())
}

/// Rotated on the third night.
fn key_number(night: u64) -> u64 {
    if night < 3 { 1 } else { 2 }
}

fn write_env(app: &Path, night: u64) -> Result<(), Box<dyn Error>> {
    let kid = key_number(night);
    let secret = |name: &str, kid: u64| Random::new(kid, name).hex(32);
    let mut env = String::from("# Made up for this sample: none of these secrets opens anything.\n");
    writeln!(env, "WEAVESTREAM_VERSION=1.8.2\nDATA_DIR=./data\nAPP_URL=https://weavestream.example.net")?;
    writeln!(env, "POSTGRES_USER=weavestream\nPOSTGRES_DB=weavestream\nPOSTGRES_PASSWORD={}", secret("postgres", 1))?;
    writeln!(env, "DATABASE_URL=postgresql://weavestream:{}@postgres:5432/weavestream", secret("postgres", 1))?;
    writeln!(env, "PASSWORD_ENCRYPTION_KEY_KID={kid}\nPASSWORD_ENCRYPTION_KEY={}", secret("password", kid))?;
    if kid > 1 {
        writeln!(env, "PASSWORD_PREVIOUS_KEYS=1:{}", secret("password", 1))?;
    }
    for name in ["MFA_ENCRYPTION_KEY", "INTEGRATION_SECRET_KEY", "SMTP_SECRET_KEY", "JWT_SIGNING_KEY", "REDIS_PASSWORD"]
    {
        writeln!(env, "{name}={}", secret(name, 1))?;
    }
    let changed = if kid > 1 { 3 } else { 1 };
    write(&app.join(".env"), env.as_bytes(), 0o600, at_night(changed))
}

/// Writes a file and its folder, unless the same is there already: an unchanged file must not look touched.
fn write(path: &Path, content: &[u8], mode: u32, time: SystemTime) -> Result<(), Box<dyn Error>> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().ok_or("a file lies in a folder")?)?;
    let mut file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.set_times(FileTimes::new().set_modified(time))?;
    Ok(())
}

fn at_night(night: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(FIRST_NIGHT + (night - 1) * DAY)
}

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and good enough to look incompressible.
struct Random(u64);

impl Random {
    /// The stream of a number and a purpose.
    fn new(number: u64, purpose: &str) -> Self {
        let mut seed = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        seed ^= number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Self(seed);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// In (0, 1].
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The size of an upload.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 300 and LARGEST")]
    fn size(&mut self) -> usize {
        let normal = (-2.0 * self.fraction().ln()).sqrt() * (TAU * self.fraction()).cos(); // Box and Muller
        (MEDIAN_SIZE * (SIGMA * normal).exp()).clamp(300.0, LARGEST) as usize
    }

    /// Bytes as of a compressed picture.
    fn bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(size);
        bytes
    }

    /// Text as of an exported table. A larger one begins with the smaller one.
    fn table(&mut self, size: usize) -> Vec<u8> {
        let mut text = String::from("id;item;where;count\n");
        while text.len() < size {
            let (number, words) = (self.below(1_000_000), self.next());
            let word = |shift: u32| WORDS[usize::try_from(words >> shift & 15).unwrap_or(0)];
            let _ = writeln!(text, "{number};{} {};{};{}", word(0), word(4), word(8), words >> 12 & 63);
        }
        let mut bytes = text.into_bytes();
        bytes.truncate(size);
        bytes
    }

    fn hex(&mut self, bytes: usize) -> String {
        self.bytes(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex(16);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}

const COMPOSE: &str = r#"name: weavestream
services:
  postgres:
    image: "postgres:16-alpine"
    environment: {POSTGRES_USER: "${POSTGRES_USER}", POSTGRES_PASSWORD: "${POSTGRES_PASSWORD}", POSTGRES_DB: "${POSTGRES_DB}"}
    volumes: ["${DATA_DIR:-./data}/postgres:/var/lib/postgresql/data"]
  redis:
    image: "redis:7-alpine"
    volumes: ["${DATA_DIR:-./data}/redis:/data"]
  api:
    image: "ghcr.io/weavestream/weavestream-api:${WEAVESTREAM_VERSION:-latest}"
    env_file: .env
    volumes:
      - "${DATA_DIR:-./data}/files:/var/lib/weavestream/files"
      - "${DATA_DIR:-./data}/backup:/var/lib/weavestream/backup:ro"
"#;
