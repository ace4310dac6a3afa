//! What `show` says about an application.

use super::{heading, line};
use crate::cli::json::application::key_use;
use crate::cli::json::hex;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style};
use crate::snapshot::manifest::application::{Application, Image};
use anstyle::Style;

/// How much of a fingerprint is shown, in bytes.
const SHORT_FINGERPRINT: usize = 6;

/// Its version, images and keys.
pub(super) fn render(application: &Application) -> String {
    let mut text = heading("application");
    text.push_str(&line("version", &application.version.as_deref().map_or_else(|| "unknown".to_owned(), clean)));
    for image in &application.images {
        text.push_str(&line("image", &self::image(image)));
    }
    if application.keys.is_empty() {
        return text;
    }
    let columns =
        [("KEY", Align::Shortened), ("USE", Align::Left), ("ID", Align::Shortened), ("FINGERPRINT", Align::Left)];
    let mut grid = Table::new(&columns);
    for key in &application.keys {
        let id = key.id.as_deref().map_or_else(|| "-".to_owned(), clean);
        let (fingerprint, style) = match key.fingerprint {
            Some(fingerprint) => (format!("{}…", hex(&fingerprint[..SHORT_FINGERPRINT])), Style::new()),
            None => ("not set".to_owned(), style::WARNING),
        };
        grid.styled_row([clean(&key.variable), key_use(key.usage).to_owned(), id, fingerprint], style);
    }
    text.push('\n');
    text.push_str(&grid.render());
    text
}

fn image(image: &Image) -> String {
    let digest = image.digest.as_deref().map(clean);
    let version = image.version.as_deref().map(|version| format!("version {}", clean(version)));
    let facts: Vec<String> = digest.into_iter().chain(version).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join("; ")) };
    format!("{}: {}{facts}", clean(&image.service), clean(&image.image))
}
